//! Configuration: what must be known before the store opens.
