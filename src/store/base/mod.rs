//! What all rooms of the store stand on: the world it is handed, tables, rows and their bytes.

pub mod codec;
pub mod compression;
pub mod copy_on_write;
pub mod disk_file;
pub mod env;
pub mod error;
pub mod fault;
#[cfg(test)]
pub mod memory;
pub mod row;
pub mod rows;
pub mod running;
pub mod schema;
pub mod settings;
pub mod sim;
