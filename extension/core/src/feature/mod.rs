//! Feature flags, in the rows and by the rules of Flipper, so that the application and the database give the same answer. The
//! tables ([`tables`]) are read ([`gates`]), remembered for as long as nothing can have changed ([`known`]), and decide
//! ([`enabled`]). Flags are changed here ([`change`]) or by the application; either is recorded ([`audit`]). What the
//! application declares in files is declared in [`definition`] and [`group`]. How flags stand is told
//! by [`list`] and [`standing`]; an extension changes them on somebody's [`behalf`].

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
