"""
A tool shop on OpenCart 3.0 with reward points: a few customers, and the oddities that such shops
have.
"""

from __future__ import annotations

from tests.databases.ready_mappings import Table


LEA, MAX, NO_EMAIL, ZERO_DATE, OWES, SHARED, NAMELESS, DELETED = range(1, 9)

_SINCE = "2023-05-01 09:00:00"
_CUSTOMERS: Table = (
    "customer_id customer_group_id firstname lastname email newsletter custom_field status date_added",
    [
        (LEA, 1, "Lea", "O&quot;Neill &amp; Sons", "Lea@Tools.example ", 1, "[]", 1, _SINCE),
        (MAX, 2, "Max", "Moss", "max@tools.example", 0, '{"1":"x"}', 0, _SINCE),
        (NO_EMAIL, 1, "Nia", "Nord", "", 0, "a:0:{}", 1, _SINCE),
        (ZERO_DATE, 1, "Oto", "Ost", "oto@tools.example", 0, "", 1, "0000-00-00 00:00:00"),
        (OWES, 1, "Pia", "Pohl", "pia@tools.example", 0, "", 1, _SINCE),
        (SHARED, 1, "Lea", "Again", "lea@tools.example", 0, "", 1, _SINCE),
        (NAMELESS, 1, "", "", "q@tools.example", 0, "", 1, _SINCE),
    ],
)

_AT, _EDITED = "2024-02-10 15:00:00", "2024-06-01 00:00:00"
_ORDERS: Table = (
    (
        "order_id store_id customer_id customer_group_id email payment_method payment_code total order_status_id"
        " currency_code currency_value date_added date_modified"
    ),
    [
        (1, 0, LEA, 1, "lea@tools.example", "Bank", "bank_transfer", "87.0000", 5, "EUR", "0.9", _AT, _EDITED),
        (2, 0, LEA, 1, "lea@tools.example", "Cash", "cod", "24.0000", 7, "USD", "1", _AT, _EDITED),
        (3, 0, LEA, 1, "lea@tools.example", "Cash", "cod", "24.0000", 0, "USD", "1", _AT, _EDITED),
        (4, 0, LEA, 1, "lea@tools.example", "Cash", "cod", "24.0000", 2, "USD", "1", _AT, _EDITED),
        (5, 0, LEA, 1, "lea@tools.example", "Cash", "cod", "24.0000", 11, "USD", "1", _AT, _EDITED),
        (6, 0, 0, 1, "guest@tools.example", "Cash", "cod", "24.0000", 5, "USD", "1", _AT, _EDITED),
        (7, 0, DELETED, 1, "gone@tools.example", "Cash", "cod", "24.0000", 5, "USD", "1", _AT, _EDITED),
        (8, 0, MAX, 2, "max@tools.example", "Cash", "cod", "50.0000", 5, "USD", "1", _AT, _EDITED),
        (9, 0, MAX, 2, "max@tools.example", "Card", "stripe", "24.0000", 3, "USD", "1", _AT, _EDITED),
        (10, 0, MAX, 2, "max@tools.example", "Cash", "cod", "24.0000", 17, "USD", "1", _AT, _EDITED),
        (11, 0, MAX, 2, "max@tools.example", "Cash", "cod", "24.0000", 5, "USD", "1", "0000-00-00", _EDITED),
        (12, 2, MAX, 2, "max@tools.example", "Cash", "cod", "24.0000", 15, "USD", "1", _AT, _EDITED),
        (13, 0, NO_EMAIL, 1, "", "Cash", "cod", "24.0000", 5, "USD", "1", _AT, _EDITED),
    ],
)
_HISTORY: Table = (
    "order_id order_status_id date_added",
    [
        (1, 1, "2024-02-10 15:00:00"),
        (1, 2, "2024-02-11 08:00:00"),
        (1, 3, "2024-02-12 08:00:00"),
        (1, 5, "2024-02-14 08:00:00"),
    ],
)
_LINES: Table = (
    "order_product_id order_id product_id name model quantity price total tax reward",
    [
        (101, 1, 40, "Saw 12&quot;", "Model 40", 2, "30.0000", "60.0000", "6.0000", 60),
        (102, 1, 41, "Nails", "Model 41", 100, "0.2000", "20.0000", "0.0400", 0),
        (103, 6, 40, "Saw", "Model 40", 1, "20.0000", "20.0000", "4.0000", 0),
        (104, 7, 40, "Saw", "Model 40", 1, "20.0000", "20.0000", "4.0000", 0),
        (105, 9, 40, "Saw", "Model 40", 1, "20.0000", "20.0000", "4.0000", 0),
        (106, 10, 40, "Saw", "Model 40", 1, "20.0000", "20.0000", "4.0000", 0),
        (107, 11, 40, "Saw", "Model 40", 1, "20.0000", "20.0000", "4.0000", 0),
        (108, 12, 77, "Old saw", "", 1, "20.0000", "20.0000", "4.0000", 0),
        (109, 13, 40, "Saw", "Model 40", 1, "20.0000", "20.0000", "4.0000", 0),
    ],
)
_TOTALS: Table = (
    "order_id code title value sort_order",
    [
        # 96.00 of goods and tax, less 5.00 for points and 4.00 for a coupon, with shipping of
        # 10.00; a voucher paid 10.00 of it.
        (1, "sub_total", "Sub-Total", "80.0000", 1),
        (1, "tax", "VAT", "16.0000", 5),
        (1, "reward", "Reward Points (50)", "-5.0000", 2),
        (1, "coupon", "Coupon (SPRING)", "-4.0000", 4),
        (1, "shipping", "Flat Rate", "10.0000", 3),
        (1, "voucher", "Gift Voucher (abc)", "-10.0000", 8),
        (1, "total", "Total", "87.0000", 9),
        # Nothing but a gift voucher was bought.
        (8, "total", "Total", "50.0000", 9),
    ],
)
_PRODUCTS: Table = ("product_id model sku", [(40, "Model 40", "SAW-12"), (41, "Model 41", "")])

_REWARDS: Table = (
    "customer_reward_id customer_id order_id description points date_added",
    [
        (1, LEA, 1, "Order ID: #1", 60, "2024-02-14 08:05:00"),
        (2, LEA, 1, "Order ID: #1", -50, "2024-02-10 15:00:00"),
        (3, LEA, 0, "Sorry for the delay, Lea", 100, "2024-01-05 10:00:00"),
        (4, LEA, 0, "Given twice", -10, "2024-01-06 10:00:00"),
        (5, MAX, 9, "Order ID: #9", 24, "2024-02-14 08:05:00"),
        (6, MAX, 0, "", 0, "0000-00-00 00:00:00"),
        (7, OWES, 0, "Taken back", -30, "2024-01-06 10:00:00"),
        (8, NO_EMAIL, 13, "Order ID: #13", 24, "2024-02-14 08:05:00"),
        (9, DELETED, 7, "Order ID: #7", 24, "2024-02-14 08:05:00"),
        (10, 0, 6, "Order ID: #6", 24, "2024-02-14 08:05:00"),
    ],
)

SHOP: dict[str, Table] = {
    "oc_customer": _CUSTOMERS,
    "oc_order": _ORDERS,
    "oc_order_history": _HISTORY,
    "oc_order_product": _LINES,
    "oc_order_total": _TOTALS,
    "oc_product": _PRODUCTS,
    "oc_customer_reward": _REWARDS,
}
