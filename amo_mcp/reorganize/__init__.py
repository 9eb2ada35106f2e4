"""What makes changes safe: their steps, what came of them, the journal, and how they are taken back."""
