"""Mammo-FActOR: which channels of a frozen encoder belong to a finding, learned without boxes."""
