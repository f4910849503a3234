"""Sockets, HTTP, and the page that shows what arrived."""
