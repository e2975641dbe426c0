//! Waiting jobs in their order, and where a session begins to look for them.
//!
//! While an old snapshot exists, by a long query or a dump, PostgreSQL keeps each index entry of a job that is done, and these come
//! before those that wait. Measured: a claim of 100 jobs takes 18 ms instead of 3 after 80,000. So a session that has read many
//! remembers up to where there was none, and for a while begins there. What comes to wait before that place, such as a job of higher
//! priority or one that is given back, is found by the next look from the beginning.

use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{Answer, OwnStatement, datum, keys_argument, pages_read};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

kept! {
    // The index returns each worker's next jobs in order. The first one of each tells where the next look may begin.
    static NEXT: OwnStatement = OwnStatement::by_index(
        "with next as materialized (
           select w.place, n.* from unnest($1, $2, $3, $4, $6) with ordinality w (name, priority, run_at, id, room, place)
             cross join lateral (
               select j.id, j.priority, j.run_at, row_number() over (order by j.priority, j.run_at, j.id) = 1 as is_first
                 from lockstep_internal.job j
                where j.worker = w.name and j.status = 'waiting'
                  and (j.priority, j.run_at, j.id) >= (w.priority, coalesce(w.run_at, '-infinity'), w.id)
                order by j.priority, j.run_at, j.id limit least($5, w.room)) n)
         select r.place, r.id, r.priority, r.run_at, r.is_first
           from (select n.*, row_number() over (order by n.priority, n.run_at, n.id) as rank from next n) r
          where r.rank <= $5 or r.is_first order by r.rank",
        &[
            pg_sys::TEXTARRAYOID,
            pg_sys::INT4ARRAYOID,
            pg_sys::TIMESTAMPTZARRAYOID,
            pg_sys::INT8ARRAYOID,
            pg_sys::INT4OID,
            pg_sys::INT4ARRAYOID,
        ],
        &["worker"],
    );
}

/// A look that reads this many pages more than it needs for the jobs that it finds passes over many that are done.
const MANY_PAGES: i64 = 200;
const PAGES_OF_JOB: i64 = 2;

/// Looks from the beginning take a twentieth of the time.
const SHARE: u32 = 20;

/// A place in the order of a worker's jobs.
#[derive(Clone)]
struct Place {
    priority: i32,
    /// None is before all times.
    run_at: Option<TimestampWithTimeZone>,
    id: i64,
}

impl Place {
    const BEGINNING: Self = Self {
        priority: i32::MIN,
        run_at: None,
        id: i64::MIN,
    };
    const END: Self = Self {
        priority: i32::MAX,
        run_at: None,
        id: i64::MIN,
    };
}

/// Where the session begins to look, by worker, and until when.
struct Places {
    of_worker: BTreeMap<String, Place>,
    until: Instant,
}

thread_local! {
    static PLACES: RefCell<Option<Places>> = const { RefCell::new(None) };
}

/// Jobs to try, in order.
pub(super) struct Next {
    pub(super) jobs: Vec<i64>,
    /// The first place of each worker.
    firsts: Vec<Place>,
    /// There may be more.
    is_full: bool,
    is_from_beginning: bool,
}

impl Next {
    /// Up to about `most` jobs, from where the session begins now, and of each worker those that there is room for.
    pub(super) fn look(workers: &[String], rooms: &[i32], most: i32) -> Result<Self> {
        match places(workers) {
            Some(places) => {
                let next = Self::read(workers, rooms, &places, most)?;
                next.remember(workers, None);
                Ok(next)
            }
            None => Self::look_from_beginning(workers, rooms, most),
        }
    }

    pub(super) fn look_from_beginning(
        workers: &[String],
        rooms: &[i32],
        most: i32,
    ) -> Result<Self> {
        let (pages, begun) = (pages_read(), Instant::now());
        let mut next = Self::read(workers, rooms, &vec![Place::BEGINNING; workers.len()], most)?;
        next.is_from_beginning = true;
        let needed = PAGES_OF_JOB * next.jobs.len() as i64;
        match pages_read() - pages > MANY_PAGES + needed {
            true => next.remember(workers, Some(Instant::now() + begun.elapsed() * SHARE)),
            false => PLACES.set(None),
        }
        Ok(next)
    }

    /// What there is besides, if others claim too many of these; `most` counts from the beginning.
    pub(super) fn look_further(
        &self,
        workers: &[String],
        rooms: &[i32],
        most: i32,
    ) -> Result<Option<Self>> {
        match self.is_full || !self.is_from_beginning {
            true => Self::look_from_beginning(workers, rooms, most).map(Some),
            false => Ok(None),
        }
    }

    fn read(workers: &[String], rooms: &[i32], places: &[Place], most: i32) -> Result<Self> {
        let priorities: Vec<i32> = places.iter().map(|it| it.priority).collect();
        let times: Vec<_> = places.iter().map(|it| it.run_at).collect();
        let ids: Vec<i64> = places.iter().map(|it| it.id).collect();
        let arguments = [
            datum(workers.to_vec()),
            datum(priorities),
            datum(times),
            keys_argument(&ids),
            datum(most),
            datum(rooms.to_vec()),
        ];
        // A worker without room was not looked at.
        let firsts = places.iter().zip(rooms).map(|(place, room)| match room {
            ..=0 => place.clone(),
            _ => Place::END,
        });
        let mut firsts: Vec<Place> = firsts.collect();
        let mut jobs = Vec::new();
        let mut take = |row: &Answer| {
            let id = row.get::<i64>(2)?;
            jobs.push(id);
            if row.get::<bool>(5)? {
                let worker = usize::try_from(row.get::<i64>(1)? - 1).ok()?;
                *firsts.get_mut(worker)? = Place {
                    priority: row.get(3)?,
                    run_at: row.get(4),
                    id,
                };
            }
            Some(())
        };
        NEXT.with(|next| {
            next.rows(&arguments, |row| {
                take(row);
            })
        })?;
        Ok(Self {
            is_full: jobs.len() >= usize::try_from(most).unwrap_or(usize::MAX),
            jobs,
            firsts,
            is_from_beginning: false,
        })
    }

    /// Looks begin here, until the given time or as long as before.
    fn remember(&self, workers: &[String], until: Option<Instant>) {
        let new = workers.iter().cloned().zip(self.firsts.iter().cloned());
        PLACES.with_borrow_mut(|places| match (places, until) {
            (places, Some(until)) => {
                *places = Some(Places {
                    of_worker: new.collect(),
                    until,
                });
            }
            (Some(places), None) => places.of_worker.extend(new),
            (None, None) => {}
        });
    }
}

/// Where looks for these workers begin, if not at the beginning.
fn places(workers: &[String]) -> Option<Vec<Place>> {
    PLACES.with_borrow_mut(|places| {
        let now = Instant::now();
        places.take_if(|places| places.until <= now);
        let places = places.as_ref()?;
        let of = workers.iter().map(|it| places.of_worker.get(it).cloned());
        of.collect()
    })
}
