//! Feature flags with Flipper's rows and rules, so that application and database return the same answer. The tables ([`tables`])
//! are read ([`gates`]), cached while nothing can have changed ([`known`]), and evaluated ([`enabled`]). Flags are changed here
//! ([`change`], for some [`actors`]) or by the application; both are audited ([`audit`]). What the application declares in files is declared in
//! [`definition`] and [`group`]. [`list`] and [`standing`] report the state of flags; an extension changes them on someone's
//! [`behalf`].

mod actors;
mod attach;
mod audit;
mod behalf;
mod change;
mod definition;
mod enabled;
mod gates;
mod group;
mod known;
mod list;
mod recorded;
mod standing;
mod tables;

pub(crate) use attach::{FEATURE, attach, detach};
pub(crate) use enabled::{is_enabled, is_fully_on};
pub(crate) use known::forget;

/// Names of flags and of groups.
fn check_name(name: &str) -> crate::error::Result<()> {
    match name.chars().count() {
        1..=255 => Ok(()),
        _ => Err(crate::error::FeatureError::Name.into()),
    }
}

/// The application may have flags with any name.
fn check_new_name(name: &str) -> crate::error::Result<()> {
    match name.contains(|sign: char| sign.is_whitespace() || sign.is_control()) {
        false => check_name(name),
        true => Err(crate::error::FeatureError::NewName {
            name: name.to_owned(),
        }
        .into()),
    }
}
