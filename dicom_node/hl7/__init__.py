"""HL7 v2 messages about patients: taken over MLLP, kept, and applied to what the node holds."""
