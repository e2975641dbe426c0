//! Every client-side test, each in a database of its own, on one cluster.

mod database;
mod drivers;
mod dump;
mod host_drop;
mod privilege_call;
mod privilege_flush;
mod privilege_search_path;
mod smoke;
mod surface_column;
mod surface_match;
mod surface_refusal;
mod surface_table;
mod surface_trigger;
mod upgrade;
mod upgrade_schema;
