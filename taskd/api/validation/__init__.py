"""What request bodies must look like, and what is made of them. Knows no HTTP, and no store."""
