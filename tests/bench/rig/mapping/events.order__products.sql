SELECT
    l.receipt_no AS order__purchase_id,
    l.line_no AS position,
    l.sku AS sku,
    l.quantity AS amount,
    l.gross AS value,
    l.gross - l.discount AS discounted_value,
    l.name AS metadata__item_name
FROM line l
