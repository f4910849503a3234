"""
A tea shop on WooCommerce with Points and Rewards: a dozen users, and the oddities that such shops
have.
"""

from __future__ import annotations

from tests.databases.ready_mappings import Table


# Users. 1 is staff and 21 a subscriber: neither bought anything, so neither is a customer.
ANA, BO, NO_EMAIL, ZERO_DATE, WRONG_SUM, OWES, NETTED, BIRTHDAY, STAFF, DELETED = range(11, 21)

_USERS: Table = (
    "ID user_login user_email user_registered display_name",
    [
        (1, "admin", "admin@tea.example", "2020-01-01 00:00:00", "admin"),
        (ANA, "ana", "ana@tea.example", "2023-02-01 10:00:00", "ana"),
        (BO, "bo", " BO@Tea.Example ", "2023-02-02 10:00:00", "Bo Baker"),
        (NO_EMAIL, "cy", "", "2023-02-03 10:00:00", "Cy"),
        (ZERO_DATE, "di", "di@tea.example", "0000-00-00 00:00:00", "Di"),
        (WRONG_SUM, "ed", "ed@tea.example", "2023-02-05 10:00:00", "Ed"),
        (OWES, "fay", "fay@tea.example", "2023-02-06 10:00:00", "Fay"),
        (NETTED, "gus", "gus@tea.example", "2023-02-07 10:00:00", "Gus"),
        (BIRTHDAY, "hal", "hal@tea.example", "2023-02-08 10:00:00", "Hal"),
        (STAFF, "ida", "ida@tea.example", "2023-02-09 10:00:00", "Ida"),
        (21, "reader", "reader@tea.example", "2023-02-10 10:00:00", "reader"),
    ],
)
_CUSTOMER, _MANAGER = 'a:1:{s:8:"customer";b:1;}', 'a:1:{s:12:"shop_manager";b:1;}'
_USERMETA: Table = (
    "user_id meta_key meta_value",
    [
        (1, "wp_capabilities", 'a:1:{s:13:"administrator";b:1;}'),
        (21, "wp_capabilities", 'a:1:{s:10:"subscriber";b:1;}'),
        (STAFF, "wp_capabilities", _MANAGER),
        *((user, "wp_capabilities", _CUSTOMER) for user in range(ANA, STAFF)),
        (ANA, "first_name", "Ana"),
        (ANA, "last_name", "Árbol"),
        (ANA, "billing_country", "MX"),
        (ANA, "last_update", "1709287200"),  # 2024-03-01 10:00:00
        (BO, "first_name", ""),
        (BO, "last_name", ""),
    ],
)
_OPTIONS: Table = (
    "option_name option_value",
    [
        ("wc_points_rewards_points_expiry", "12:MONTH"),
        ("wc_points_rewards_points_expire_points_since", "2023-01-01"),
    ],
)

_AT = "2024-03-10 09:30:00"
LATER = "2024-03-12 12:00:00"
_REFUND = "shop_order_refund"
_ORDERS: Table = (
    (
        "id type status customer_id parent_order_id total_amount payment_method currency date_created_gmt"
        " date_updated_gmt billing_email"
    ),
    [
        (1001, "shop_order", "wc-completed", ANA, 0, "59.16", "bacs", "MXN", _AT, LATER, None),
        (
            1002,
            _REFUND,
            "wc-completed",
            0,
            1001,
            "-20.88",
            "",
            "MXN",
            "2024-03-20 08:00:00",
            "2024-03-20 08:00:00",
            None,
        ),
        (1003, "shop_order", "wc-processing", BO, 0, "11.60", "stripe", "MXN", _AT, LATER, None),
        (1004, "shop_order", "wc-processing", BO, 0, "11.60", "cod", "MXN", _AT, LATER, None),
        (1005, "shop_order", "wc-cancelled", ANA, 0, "11.60", "bacs", "MXN", _AT, LATER, None),
        (1006, "shop_order", "wc-refunded", ANA, 0, "11.60", "bacs", "MXN", _AT, LATER, None),
        (1007, "shop_order", "wc-completed", 0, 0, "11.60", "stripe", "MXN", _AT, LATER, "ida@tea.example"),
        (1008, "shop_order", "wc-completed", None, 0, "11.60", "stripe", "MXN", _AT, LATER, "guest@tea.example"),
        (1009, "shop_order", "wc-completed", DELETED, 0, "11.60", "stripe", "MXN", _AT, LATER, None),
        (1010, "shop_order", "wc-completed", ANA, 0, "11.60", "stripe", "MXN", _AT, LATER, None),
        (1011, "shop_order", "wc-completed", ANA, 0, "11.60", "klarna", "MXN", _AT, LATER, None),
        (1012, "shop_order", "wc-shipped", ANA, 0, "11.60", "stripe", "MXN", _AT, LATER, None),
        (1013, "shop_order", "wc-completed", ANA, 0, "11.60", "stripe", "MXN", "0000-00-00 00:00:00", LATER, None),
        (1014, "shop_order", "wc-completed", ANA, 0, "11.60", "stripe", "MXN", _AT, LATER, None),
        (1015, "shop_order", "wc-completed", NO_EMAIL, 0, "11.60", "stripe", "MXN", _AT, LATER, None),
        (1016, "shop_order", "wc-completed", ANA, 0, "0.00", "", "MXN", _AT, LATER, None),
        (1017, "shop_order", "wc-checkout-draft", ANA, 0, "11.60", "", "MXN", _AT, LATER, None),
        (1018, "shop_order", "wc-completed", STAFF, 0, "11.60", "stripe", "MXN", _AT, LATER, None),
    ],
)
PAID = "2024-03-11 07:00:00"
_OPERATIONAL: Table = (
    (
        "order_id created_via date_paid_gmt date_completed_gmt shipping_total_amount shipping_tax_amount"
        " discount_total_amount discount_tax_amount"
    ),
    [
        (1001, "checkout", PAID, LATER, "5.00", "0.80", "4.00", "0.64"),
        (1002, "", None, None, "0", "0", "0", "0"),
        (1003, "store-api", PAID, None, "0", "0", "0", "0"),
        (1004, "checkout", None, None, "0", "0", "0", "0"),
        *((order, "checkout", PAID, LATER, "0", "0", "0", "0") for order in range(1005, 1016)),
        (1016, "checkout", PAID, LATER, "0", "0", "10.00", "1.60"),
        (1018, "admin", None, LATER, "0", "0", "0", "0"),
    ],
)


def _mug(price: str = "10", discounted: str = "10") -> dict[str, str]:
    """A line of one red mug, with 16 % tax."""
    tax = {"10": "1.6", "0": "0"}
    return {
        "_qty": "1",
        "_product_id": "72",
        "_variation_id": "73",
        "_line_subtotal": price,
        "_line_subtotal_tax": tax.get(price, ""),
        "_line_total": discounted,
        "_line_tax": tax.get(discounted, ""),
    }


_LINES: dict[tuple[int, int, str], dict[str, str]] = {
    (501, 1001, "Green tea"): {
        "_qty": "2",
        "_product_id": "71",
        "_variation_id": "0",
        "_line_subtotal": "40",
        "_line_subtotal_tax": "6.4",
        "_line_total": "36",
        "_line_tax": "5.76",
    },
    (502, 1001, "Mug & saucer"): _mug(),
    (503, 1002, "Green tea"): {
        "_qty": "-1",
        "_product_id": "71",
        "_variation_id": "0",
        "_line_subtotal": "-18",
        "_line_subtotal_tax": "-2.88",
        "_line_total": "-18",
        "_line_tax": "-2.88",
        "_refunded_item_id": "501",
    },
    **{(order - 494, order, "Mug"): _mug() for order in (1003, 1007, 1008, 1009, 1011, 1012, 1013, 1015, 1018)},
    (520, 1014, "Mug"): _mug(price="10,00", discounted="10,00"),
    # The product is gone, and with it its SKU.
    (522, 1016, "Old mug"): {**_mug(discounted="0"), "_product_id": "99", "_variation_id": "0"},
}
_ITEMS: Table = (
    "order_item_id order_id order_item_name order_item_type",
    [
        *((item, order, name, "line_item") for item, order, name in _LINES),
        (590, 1001, "Flat rate", "shipping"),
        (591, 1001, "wc_points_redemption_11_2024_03_10", "coupon"),
    ],
)
_ITEMMETA: Table = (
    "order_item_id meta_key meta_value",
    [(item, key, value) for (item, _, _), meta in _LINES.items() for key, value in meta.items()],
)
_PRODUCTS: Table = ("product_id sku", [(71, "TEA-100"), (72, ""), (73, "MUG-RED")])

_LOG: Table = (
    "id user_id points type order_id date",
    [
        (1, ANA, 50, "account-signup", None, "2023-02-01 10:00:00"),
        (2, ANA, 53, "order-placed", 1001, "2024-03-11 07:00:00"),
        (3, ANA, -40, "order-redeem", 1001, "2024-03-10 09:30:00"),
        (4, ANA, -20, "order-refunded", 1001, "2024-03-20 08:00:00"),
        (5, ANA, 7, "admin-adjustment", None, "2024-03-21 08:00:00"),
        (6, ANA, -5, "admin-adjustment", None, "2024-03-22 08:00:00"),
        (7, ANA, 5, "product-review", None, "2024-03-23 08:00:00"),
        (8, BO, 30, "order-placed", 900, "2023-02-15 00:00:00"),
        (9, BO, -30, "expire", None, "2024-02-16 03:00:00"),
        (10, BO, 20, "order-placed", 1003, "2024-03-11 07:00:00"),
        (11, NO_EMAIL, 50, "account-signup", None, "2023-02-03 10:00:00"),
        (12, WRONG_SUM, 100, "order-placed", 901, "2024-01-05 00:00:00"),
        (13, OWES, -30, "order-cancelled", 902, "2024-01-06 00:00:00"),
        (14, NETTED, 50, "order-placed", 903, "2024-04-01 00:00:00"),
        (15, NETTED, -20, "order-cancelled", 904, "2024-05-01 00:00:00"),
        (16, BIRTHDAY, 50, "account-signup", None, "2023-02-08 10:00:00"),
        (17, BIRTHDAY, 10, "birthday", None, "2024-02-08 10:00:00"),
        (18, DELETED, 40, "order-placed", 1009, "2024-03-11 07:00:00"),
        (19, ZERO_DATE, 50, "account-signup", None, "2023-02-04 10:00:00"),
        # The extension writes '--5' where an award below zero expires, which the database reads as
        # 0.
        (20, BO, 0, "expire", None, "2024-02-17 03:00:00"),
    ],
)
_AWARDS: Table = (
    "id user_id points points_balance order_id date",
    [
        (1, ANA, 50, 0, None, "2023-02-01 10:00:00"),
        (2, ANA, 53, 38, 1001, "2024-03-11 07:00:00"),
        (3, ANA, 12, 12, None, "2022-12-31 23:00:00"),  # before the day from which awards expire
        (4, BO, 30, 0, 900, "2023-02-15 00:00:00"),
        (5, BO, 20, 20, 1003, "2024-03-11 07:00:00"),
        (6, NO_EMAIL, 50, 50, None, "2023-02-03 10:00:00"),
        (7, WRONG_SUM, 100, 90, 901, "2024-01-05 00:00:00"),
        (8, OWES, -30, -30, 902, "2024-01-06 00:00:00"),
        (9, NETTED, -20, -20, 904, "2024-05-01 00:00:00"),
        (10, NETTED, 50, 50, 903, "2024-04-01 00:00:00"),
        (11, BIRTHDAY, 60, 60, None, "2023-02-08 10:00:00"),
        (12, ZERO_DATE, 50, 50, None, "2023-02-04 10:00:00"),
    ],
)

SHOP: dict[str, Table] = {
    "wp_users": _USERS,
    "wp_usermeta": _USERMETA,
    "wp_options": _OPTIONS,
    "wp_wc_orders": _ORDERS,
    "wp_wc_order_operational_data": _OPERATIONAL,
    "wp_woocommerce_order_items": _ITEMS,
    "wp_woocommerce_order_itemmeta": _ITEMMETA,
    "wp_wc_product_meta_lookup": _PRODUCTS,
    "wp_wc_points_rewards_user_points_log": _LOG,
    "wp_wc_points_rewards_user_points": _AWARDS,
}
