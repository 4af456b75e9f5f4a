//! The layer `imap` (DESIGN.md §2).
