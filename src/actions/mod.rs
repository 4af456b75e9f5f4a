//! The layer `actions` (DESIGN.md §2).
