"""An invented retailer: a till system, a web shop and a loyalty club."""
