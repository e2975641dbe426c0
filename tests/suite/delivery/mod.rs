//! Deliveries in the database: claimed, finished, paced and kept in order.

mod claim;
mod finish;
mod lane;
mod pace;
mod random;
mod status;
mod trouble;
mod turn;
