//! The layer `control` (DESIGN.md §2).
