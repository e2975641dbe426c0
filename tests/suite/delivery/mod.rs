//! Deliveries in the database: claiming, finishing, pace and order.

pub(crate) mod claim;
mod finish;
mod lane;
mod pace;
mod parked;
mod quiet;
mod random;
mod status;
mod trouble;
mod turn;
