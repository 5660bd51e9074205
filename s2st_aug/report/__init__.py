"""What people look at: the HTML page, the contact sheet, pictures of why a variant was rejected, a page for review."""
