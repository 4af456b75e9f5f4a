//! The layer `import` (DESIGN.md §2).
