//! A fake Slack on loopback, and Slack's calls to an app.
//!
//! [`FakeSlack`] serves the Web API, the consent page and response URLs by Slack's rules: an app that breaks one is refused as
//! Slack would. Where Slack is lenient or its documentation leaves a limit open, the fake is stricter. [`Caller`] is the other
//! direction: signed events, commands and interactions, with Slack's retries.

mod answer;
mod block;
pub mod caller;
mod chat;
mod check;
mod clock;
mod fake;
mod fault;
mod message;
mod method;
mod oauth;
mod rate;
mod record;
mod request;
mod response_url;
mod server;
mod token;
mod view;
mod world;

pub use caller::Caller;
pub use check::{wrong_in_home, wrong_in_message, wrong_in_modal, wrong_in_options};
pub use clock::Clock;
pub use fake::FakeSlack;
pub use fault::Fault;
pub use message::Message;
pub use oauth::Decision;
pub use rate::Rate;
pub use token::Issued;
pub use view::{Home, Modal};
pub use world::{App, Call, Channel, Enterprise, Installation, User, Workspace};
