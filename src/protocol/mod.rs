//! The layer `protocol` (DESIGN.md §2).
