//! Feature flags. There may be hundreds, so they come last, and can be filtered where scripts run.

use maud::{Markup, html};

use crate::page::markup::name;
use crate::page::report::Feature;
use crate::text::{number, plural};

/// As many as fit on a screen beside the rest.
const FEW: usize = 12;

pub(super) fn of(of: &[Feature]) -> Markup {
    html! {
        h2 { "Features" }
        @if of.is_empty() { p { "No flag is set." } }
        @if of.len() > FEW {
            details {
                summary { (of.len()) " flags" }
                label.filter hidden { "Filter " input #filter type="search" autocomplete="off"; }
                (list(of))
            }
        } @else { (list(of)) }
    }
}

fn list(of: &[Feature]) -> Markup {
    html! {
        ul.rows #features {
            @for feature in of {
                li {
                    strong { (name(&feature.name)) }
                    span.good[feature.state == "on"] { (feature.state) }
                    @if let Some(percentage) = feature.percentage_of_actors.filter(|it| *it > 0.0) {
                        progress max="100" value=(percentage) aria-label={ "actors of " (feature.name) } { (percentage) " %" }
                        span { (percentage) " % of actors" }
                    }
                    @if let Some(percentage) = feature.percentage_of_time.filter(|it| *it > 0.0) {
                        span { (percentage) " % of the time" }
                    }
                    @if feature.has_expression { span { "by an expression, which is not known here" } }
                    @if feature.actors > 0 {
                        span { (number(feature.actors)) " " (plural(feature.actors, "actor", "actors")) }
                    }
                }
            }
        }
    }
}
