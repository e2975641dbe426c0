//! Every client-side test, each in a database of its own, on one cluster.

mod database;
mod drivers;
mod smoke;
