"""What a cast costs and takes. The counts are exact and are held to their budgets by the integration tests."""
