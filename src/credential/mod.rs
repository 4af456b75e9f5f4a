//! The layer `credential` (DESIGN.md §2).
