//! Plots as plain SVG: they need no script, and a screen reader gets their last and largest values.

use std::fmt::Write;

use maud::{Markup, html};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;

/// How lines differ. Red is for what is wrong.
#[derive(Clone, Copy)]
pub(super) enum Look {
    First,
    Second,
    Bad,
}

impl Look {
    fn class(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
            Self::Bad => "bad",
        }
    }
}

/// A line of a plot. Where there is no value, it has a gap.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) look: Look,
    pub(super) points: Vec<(f64, Option<f64>)>,
}

pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    /// How a value is written.
    pub(super) written: fn(f64) -> String,
    /// What the left and the right end are.
    pub(super) ends: [&'a str; 2],
    pub(super) lines: Vec<Line>,
}

impl Plot<'_> {
    /// Nothing if there are no two values to connect.
    pub(super) fn draw(&self) -> Markup {
        let values = |line: &Line| -> Vec<(f64, f64)> {
            let points = line.points.iter();
            points
                .filter_map(|(at, value)| Some((*at, (*value)?)))
                .collect()
        };
        let all: Vec<(f64, f64)> = self.lines.iter().flat_map(values).collect();
        if all.len() < 2 {
            return html! {};
        }
        let fold = |of: fn(f64, f64) -> f64, values: &mut dyn Iterator<Item = f64>| {
            values.reduce(of).unwrap_or_default()
        };
        let ends = self.lines.iter().flat_map(|line| line.points.iter());
        let times: Vec<f64> = ends.map(|(at, _)| *at).collect();
        let first = fold(f64::min, &mut times.iter().copied());
        let last = fold(f64::max, &mut times.iter().copied());
        let most = fold(f64::max, &mut all.iter().map(|(_, value)| *value));
        let words: Vec<(Look, String)> = self
            .lines
            .iter()
            .filter_map(|line| {
                let (_, value) = *values(line).last()?;
                let word = format!("{} {}", line.name, (self.written)(value));
                Some((line.look, word))
            })
            .collect();
        let label = format!(
            "{}: last {}; at most {}",
            self.title,
            words
                .iter()
                .map(|(_, word)| word.trim_start())
                .collect::<Vec<_>>()
                .join(", "),
            (self.written)(most)
        );
        html! {
            figure.plot {
                figcaption {
                    strong { (self.title) }
                    @for (look, word) in &words {
                        span class={ "key line-" (look.class()) } { (word) }
                    }
                }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
                    @for line in &self.lines {
                        path class={ "line-" (line.look.class()) } d=(path(line, [first, last], most)) {}
                    }
                }
                p.ends { span { (self.ends[0]) } span { "at most " ((self.written)(most)) } span { (self.ends[1]) } }
            }
        }
    }
}

fn path(line: &Line, [first, last]: [f64; 2], most: f64) -> String {
    let width = if last > first { last - first } else { 1.0 };
    let height = if most > 0.0 { most } else { 1.0 };
    let mut path = String::new();
    let mut is_drawing = false;
    for (at, value) in &line.points {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let x = (at - first) / width * WIDTH;
        let y = HEIGHT - value / height * HEIGHT;
        // Writing to a String never fails.
        let _ = match is_drawing {
            true => write!(path, "L{x:.1} {y:.1}"),
            // With round ends, a value alone is a dot.
            false => write!(path, "M{x:.1} {y:.1}h0"),
        };
        is_drawing = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::{Line, Look, Plot};

    fn plot(points: Vec<(f64, Option<f64>)>) -> String {
        let lines = vec![Line {
            name: "x",
            look: Look::First,
            points,
        }];
        let plot = Plot {
            title: "Things",
            written: |value| format!("{value:.0}"),
            ends: ["then", "now"],
            lines,
        };
        plot.draw().into_string()
    }

    #[test]
    fn a_gap_is_no_line() {
        let drawn = plot(vec![
            (0.0, Some(0.0)),
            (10.0, Some(4.0)),
            (20.0, None),
            (40.0, Some(2.0)),
        ]);
        assert!(
            drawn.contains("d=\"M0.0 100.0h0L150.0 0.0M600.0 50.0h0\""),
            "{drawn}"
        );
        assert!(
            drawn.contains("aria-label=\"Things: last x 2; at most 4\""),
            "{drawn}"
        );
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(plot(vec![]), "");
        assert_eq!(plot(vec![(0.0, Some(1.0)), (1.0, None)]), "");
        // All of them at once, or zero.
        for points in [vec![(5.0, Some(1.0)); 3], vec![(0.0, Some(0.0)); 2]] {
            let drawn = plot(points);
            assert!(drawn.contains("<path") && !drawn.contains("NaN"), "{drawn}");
        }
    }
}
