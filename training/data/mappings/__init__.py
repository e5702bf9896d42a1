"""Mapping files of public data sets; `table_mapping` names them."""
