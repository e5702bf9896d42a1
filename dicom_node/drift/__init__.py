"""Watches the answers that the ledger has: alarms, stop rules, alerts, thresholds and reports."""
