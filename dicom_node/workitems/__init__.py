"""Performs workitems of a worklist server (UPS-RS), as IHE AI Workflow for Imaging describes it."""
