//! The layer `cli` (DESIGN.md §2).
