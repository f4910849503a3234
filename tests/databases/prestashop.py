"""
A bakery on PrestaShop 1.7 with its loyalty module: a few customers, and the oddities that such
shops have.
"""

from __future__ import annotations

from tests.databases.ready_mappings import Table


ADA, BEN, NO_EMAIL, GUEST, DELETED, OWES, ZERO_DATE, GONE = range(1, 9)

_SINCE, _EDITED = "2023-01-05 09:00:00", "2024-05-01 00:00:00"
_CUSTOMERS: Table = (
    (
        "id_customer id_gender id_default_group firstname lastname email birthday newsletter active is_guest deleted"
        " date_add date_upd"
    ),
    [
        (ADA, 2, 3, "Ada", "Acre", " Ada@Bakery.example", "1990-02-03", 1, 1, 0, 0, _SINCE, _EDITED),
        (BEN, 1, 3, "Ben", "Bay", "ben@bakery.example", "0000-00-00", 0, 0, 0, 0, _SINCE, _EDITED),
        (NO_EMAIL, 3, 3, "Cy", "Coe", "", None, 0, 1, 0, 0, _SINCE, _EDITED),
        (GUEST, 0, 2, "Ada", "Acre", "ada@bakery.example", None, 0, 1, 1, 0, _SINCE, _EDITED),
        (DELETED, 0, 3, "Dee", "Dow", "dee@bakery.example", None, 0, 1, 0, 1, _SINCE, _EDITED),
        (OWES, 0, 3, "Eli", "Eck", "eli@bakery.example", None, 0, 1, 0, 0, _SINCE, _EDITED),
        (ZERO_DATE, 0, 3, "Flo", "Fox", "flo@bakery.example", None, 0, 1, 0, 0, "0000-00-00 00:00:00", _EDITED),
    ],
)

_AT, _PAID = "2024-02-10 10:00:00", "2024-02-10 10:05:00"
_ORDERS: Table = (
    (
        "id_order reference id_shop id_carrier id_customer id_cart id_currency current_state payment module"
        " total_products_wt total_discounts_tax_incl total_shipping_tax_incl total_wrapping_tax_incl total_paid_tax_incl"
        " valid invoice_date delivery_date date_add date_upd"
    ),
    [
        # 50.00 of goods and 2.00 of wrapping, less 5.00; one of two loaves, 10.00, was given back.
        (
            1, "AAAAAAAAA", 1, 1, ADA, 11, 1, 5, "Wire", "ps_wirepayment", 50, 5, 6, 2, 53, 1, _PAID, _PAID, _AT,
            "2024-02-12 00:00:00",
        ),
        # A voucher paid for the shipping: nothing was taken off the goods.
        (2, "BBBBBBBBB", 2, 1, BEN, 12, 1, 2, "Cash", "ps_cashondelivery", 20, 6, 6, 0, 20, 1, "0000-00-00", "0000-00-00", _AT, _AT),
        (3, "CCCCCCCCC", 1, 1, ADA, 13, 1, 6, "Cash", "ps_cashondelivery", 20, 0, 0, 0, 20, 0, _PAID, _PAID, _AT, _AT),
        (4, "DDDDDDDDD", 1, 1, GUEST, 14, 1, 5, "Cash", "ps_cashondelivery", 20, 0, 0, 0, 20, 1, _PAID, _PAID, _AT, _AT),
        (5, "EEEEEEEEE", 1, 1, DELETED, 15, 1, 5, "Cash", "ps_cashondelivery", 20, 0, 0, 0, 20, 1, _PAID, _PAID, _AT, _AT),
        (6, "FFFFFFFFF", 1, 1, GONE, 16, 1, 5, "Cash", "ps_cashondelivery", 20, 0, 0, 0, 20, 1, _PAID, _PAID, _AT, _AT),
        (7, "GGGGGGGGG", 1, 1, BEN, 17, 1, 5, "Card", "my_gateway", 20, 0, 0, 0, 20, 1, _PAID, _PAID, _AT, _AT),
        (8, "HHHHHHHHH", 1, 1, BEN, 18, 1, 5, "Free", "free_order", 20, 0, 0, 0, 20, 1, _PAID, _PAID, "0000-00-00", _AT),
        (9, "IIIIIIIII", 1, 1, BEN, 19, 1, 5, "Free", "free_order", 0, 0, 0, 0, 0, 1, _PAID, _PAID, _AT, _AT),
        (10, "JJJJJJJJJ", 1, 1, NO_EMAIL, 20, 1, 5, "Cash", "cheque", 20, 0, 0, 0, 20, 1, _PAID, _PAID, _AT, _AT),
    ],
)  # fmt: skip
_LINES: Table = (
    (
        "id_order_detail id_order id_shop product_id product_attribute_id product_name product_quantity product_reference"
        " total_price_tax_incl"
    ),
    [
        (101, 1, 1, 40, 0, "Loaf", 2, "LOAF", 20),
        (102, 1, 1, 41, 7, "Cake - Size: L", 1, "", 30),
        (103, 2, 2, 40, 0, "Loaf", 2, "LOAF", 20),
        (104, 4, 1, 40, 0, "Loaf", 2, "LOAF", 20),
        (105, 6, 1, 40, 0, "Loaf", 2, "LOAF", 20),
        (106, 7, 1, 40, 0, "Loaf", 2, "LOAF", 20),
        (107, 8, 1, 40, 0, "Loaf", 2, "LOAF", 20),
        (108, 10, 1, 40, 0, "Loaf", 2, "LOAF", 20),
    ],
)
_SLIPS: Table = (
    (
        "id_order_slip id_customer id_order total_products_tax_incl total_shipping_tax_incl amount shipping_cost_amount"
        " date_add date_upd"
    ),
    [(1, ADA, 1, 10, 0, 10, 0, "2024-03-01 00:00:00", "2024-03-01 00:00:00")],
)

_POINTS: Table = (
    "id_loyalty id_loyalty_state id_customer id_order id_cart_rule points date_add date_upd",
    [
        (1, 2, ADA, 1, None, 50, _AT, "2024-02-14 08:00:00"),
        (2, 3, ADA, 1, None, -10, "2024-03-01 00:00:00", "2024-03-01 00:00:00"),  # the loaf
        (3, 4, ADA, 90, 501, 60, "2023-05-01 12:00:00", "2023-06-01 12:00:00"),
        (4, 2, ADA, 91, None, 40, "2023-03-01 12:00:00", "2023-03-05 12:00:00"),  # too old by the cut-over
        (5, 1, BEN, 2, None, 20, _AT, _AT),
        (6, 3, BEN, 3, None, 0, _AT, _AT),
        (7, 5, BEN, 7, None, 0, _AT, _AT),
        (8, 9, BEN, 8, None, 7, _AT, _AT),
        (9, 2, GUEST, 4, None, 20, _AT, _AT),
        (10, 2, DELETED, 5, None, 20, _AT, _AT),
        (11, 2, GONE, 6, None, 20, _AT, _AT),
        (12, 3, OWES, 92, None, -30, _AT, _AT),
        (13, 2, NO_EMAIL, 10, None, 20, _AT, _AT),
    ],
)

SHOP: dict[str, Table] = {
    "ps_customer": _CUSTOMERS,
    "ps_gender": ("id_gender type", [(1, 0), (2, 1), (3, 2)]),
    "ps_orders": _ORDERS,
    "ps_order_detail": _LINES,
    "ps_order_cart_rule": (
        "id_order_cart_rule id_order id_cart_rule name value free_shipping",
        [(1, 1, 5, "5", 5, 0), (2, 2, 6, "free", 6, 1)],
    ),
    "ps_order_slip": _SLIPS,
    "ps_order_slip_detail": ("id_order_slip id_order_detail product_quantity total_price_tax_incl", [(1, 101, 1, 10)]),
    "ps_currency": ("id_currency iso_code", [(1, "EUR")]),
    "ps_configuration": (
        "id_configuration name value",
        [(1, "PS_LOYALTY_VALIDITY_PERIOD", "365"), (2, "PS_TIMEZONE", "Europe/Paris")],
    ),
    "ps_loyalty": _POINTS,
}
