//! The layer `tls` (DESIGN.md §2).
