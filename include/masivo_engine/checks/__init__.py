"""The mapping against the database, the contract and the account, before anything is sent."""
