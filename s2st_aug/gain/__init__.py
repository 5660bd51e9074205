"""Does it help? Training with and without the variants, with control arms, equal updates and honest intervals."""
