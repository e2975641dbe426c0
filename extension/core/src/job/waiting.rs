//! Waiting jobs in their order, and where a look for them begins.
//!
//! While an old snapshot exists, by a long query or a dump, PostgreSQL keeps each index entry of a job that is done, and these come
//! before those that wait. Measured: after 1,000,000 jobs a claim takes 4 s instead of 1.5 ms. So a session that has read many
//! remembers the first waiting job of each worker, and which transactions had not ended: a job that comes to wait before that
//! place was queued by one of these or by a later one, and an index finds it by that transaction. After very many jobs the places
//! are stored for other sessions.

use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::lock::{self, Kind};
use lockstep_server::{
    Answer, OwnStatement, current_transaction, datum, has_committed, is_read_committed,
    keys_argument, pages_read,
};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::BTreeMap;

struct Statements {
    next: OwnStatement,
    share: OwnStatement,
    forget: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        // The expressions in the second part keep the planner from the index of the first part, whose beginning it must not read.
        next: OwnStatement::by_index(
            "with place as materialized (
               select w.place, w.name, w.room, coalesce(p.priority, w.priority) as priority, coalesce(p.run_at, w.run_at, '-infinity') as run_at,
                      coalesce(p.id, w.id) as id, coalesce(p.unseen_from, w.unseen_from::xid8) as unseen_from,
                      coalesce(p.unseen, ('{' || w.unseen || '}')::xid8[]) as unseen
                 from unnest($1, $2, $3, $4, $5, $6, $7) with ordinality w (name, room, priority, run_at, id, unseen_from, unseen, place)
                 left join lockstep_internal.job_place p on p.worker = w.name and w.unseen_from is null),
             next as materialized (
               select w.place, n.* from place w cross join lateral (
                 select a.*, row_number() over (partition by a.late order by a.priority, a.run_at, a.id) = 1 and a.late is null as is_first from (
                   (select j.id, j.priority, j.run_at, null::text as late from lockstep_internal.job j
                     where j.worker = w.name and j.status = 'waiting' and (j.priority, j.run_at, j.id) >= (w.priority, w.run_at, w.id)
                     order by j.priority, j.run_at, j.id limit least($8, w.room))
                   union all
                   (select j.id, j.priority, j.run_at, j.queued_by::text as late from (
                      select l.* from lockstep_internal.job l
                       where l.worker = w.name and l.status = 'waiting' and l.queued_by >= w.unseen_from
                      union all
                      select l.* from (select distinct x from unnest(w.unseen) x where x < w.unseen_from) u
                        join lockstep_internal.job l on l.worker = w.name and l.status = 'waiting' and l.queued_by = u.x) j
                     where (j.priority + 0, j.run_at, j.id) < (w.priority, w.run_at, w.id)
                     order by j.priority + 0, j.run_at, j.id limit least($8, w.room))) a
                 order by a.priority, a.run_at, a.id limit least($8, w.room)) n)
             select r.place, r.id, r.priority, r.run_at, r.is_first, r.late, s.unseen_from::text, array_to_string(s.unseen, ',')
               from (select pg_snapshot_xmax(pg_current_snapshot()) as unseen_from,
                            array(select pg_snapshot_xip(pg_current_snapshot()) union all
                                  select x from pg_current_xact_id_if_assigned() x where x is not null) as unseen) s
               left join (select n.*, row_number() over (order by n.priority, n.run_at, n.id) as rank from next n) r
                 on r.rank <= $8 or r.is_first or r.late is not null
              order by r.rank",
            &[
                pg_sys::TEXTARRAYOID,
                pg_sys::INT4ARRAYOID,
                pg_sys::INT4ARRAYOID,
                pg_sys::TIMESTAMPTZARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::INT4OID,
            ],
            &["worker"],
        ),
        share: OwnStatement::by_index(
            "insert into lockstep_internal.job_place as p (worker, priority, run_at, id, unseen_from, unseen)
             select n.worker, n.priority, coalesce(n.run_at, '-infinity'), n.id, n.unseen_from::xid8, ('{' || n.unseen || '}')::xid8[]
               from unnest($1, $2, $3, $4, $5, $6) n (worker, priority, run_at, id, unseen_from, unseen)
                 on conflict (worker) do update set (priority, run_at, id, unseen_from, unseen) =
                    (excluded.priority, excluded.run_at, excluded.id, excluded.unseen_from, excluded.unseen)",
            &[
                pg_sys::TEXTARRAYOID,
                pg_sys::INT4ARRAYOID,
                pg_sys::TIMESTAMPTZARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
            ],
            &["worker"],
        ),
        forget: OwnStatement::new(
            "delete from lockstep_internal.job_place p where not exists (select from lockstep_internal.job j where j.worker = p.worker)",
            &[],
        ),
    };
}

/// A look that reads this many pages more than it needs for the jobs that it finds passes over many that are done.
const MANY_PAGES: i64 = 200;
const PAGES_OF_JOB: i64 = 2;

/// A look that reads so many more is worth storing its end for others. Each time leaves a version of the row behind.
const PAGES_TO_SHARE: i64 = 500;

/// If more jobs wait before a place than this, the place moves back to the first one.
const MANY_LATE: usize = 100;

/// Nothing is known of the worker: a look costs only what the statement itself does.
const NOBODY: (&[String], &[i32], &[Place]) = (&[], &[], &[]);

/// Taken by the one session that stores places, until its transaction ends, so that no other one waits for it.
const SHARING: Kind = Kind(0x4c52);

/// Transactions: all from one on, and others, separated by commas.
type Unseen = (String, String);

/// A place in the order of a worker's jobs. All that wait before it were queued by certain transactions.
#[derive(Clone)]
struct Place {
    priority: i32,
    /// None is before all times.
    run_at: Option<TimestampWithTimeZone>,
    id: i64,
    /// Those that had not ended when it was found, and those whose jobs were found before it. None where nothing has been read.
    unseen: Option<Unseen>,
}

impl Place {
    const BEGINNING: Self = Self {
        priority: i32::MIN,
        run_at: None,
        id: i64::MIN,
        unseen: None,
    };
    const END: Self = Self {
        priority: i32::MAX,
        ..Self::BEGINNING
    };
}

/// Where the session begins to look.
struct Places {
    of_worker: BTreeMap<String, Place>,
    /// The statement is planned, and what planning reads of the catalogs counts for no look.
    is_prepared: bool,
    /// The transaction that they were last read in, if it could have changed jobs before.
    read_in: Option<u64>,
}

thread_local! {
    static PLACES: RefCell<Places> = const {
        RefCell::new(Places {
            of_worker: BTreeMap::new(),
            is_prepared: false,
            read_in: None,
        })
    };
}

/// Forgets places that include changes of a transaction or savepoint that was rolled back: its jobs wait again where they did.
pub(crate) fn forget_places() {
    PLACES.with_borrow_mut(|places| {
        if let Some(transaction) = places.read_in.take()
            && !has_committed(transaction)
        {
            places.of_worker.clear();
        }
    });
}

/// Removes stored places of workers that have no job any more.
pub(crate) fn forget_places_of_nobody() -> Result<()> {
    STATEMENTS.with(|statements| statements.forget.run(&[]))?;
    Ok(())
}

/// Jobs to try, in order.
pub(super) struct Next {
    pub(super) jobs: Vec<i64>,
    /// There may be more.
    is_full: bool,
    /// The places of workers of which no more were looked for than there is room.
    cut: Vec<usize>,
    /// The places of workers to store for other sessions.
    to_share: Vec<(String, Place)>,
}

impl Next {
    /// Up to about `most` jobs, and of each worker those that there is room for.
    pub(super) fn look(workers: &[String], rooms: &[i32], most: i32) -> Result<Self> {
        if !PLACES.with_borrow(|places| places.is_prepared) {
            let (workers, rooms, places) = NOBODY;
            read(workers, rooms, places, most)?;
            PLACES.with_borrow_mut(|places| places.is_prepared = true);
        }
        let places: Vec<Place> = PLACES.with_borrow(|places| {
            let of = workers.iter().map(|it| places.of_worker.get(it).cloned());
            of.map(|it| it.unwrap_or(Place::BEGINNING)).collect()
        });
        let before = pages_read();
        let (jobs, found, unseen) = read(workers, rooms, &places, most)?;
        let pages = pages_read() - before - PAGES_OF_JOB * jobs.len() as i64;
        let counts = found.iter().map(|it| it.count).zip(rooms).enumerate();
        let cut = counts.filter(|(_, (count, room))| *room > &0 && count >= room);
        let cut = cut.map(|(worker, _)| worker).collect();
        let mut to_share = Vec::new();
        PLACES.with_borrow_mut(|places_of_session| {
            for (((worker, room), place), found) in
                workers.iter().zip(rooms).zip(&places).zip(found)
            {
                let is_known = place.unseen.is_some() || found.first.is_some();
                // A worker without room was not looked at.
                if *room <= 0 || !(place.unseen.is_some() || pages > MANY_PAGES) {
                    continue;
                }
                // Late ones alone: the next look finds those that remain in the same way, unless that takes long.
                let has_only_late = found.late.len() as i64 >= i64::from(most.min(*room));
                if has_only_late && pages <= MANY_PAGES {
                    continue;
                }
                let next = found.place(has_only_late, &unseen);
                if is_known && pages > PAGES_TO_SHARE {
                    to_share.push((worker.clone(), next.clone()));
                }
                places_of_session.of_worker.insert(worker.clone(), next);
                places_of_session.read_in = current_transaction();
            }
        });
        Ok(Self {
            is_full: jobs.len() >= usize::try_from(most).unwrap_or(usize::MAX),
            cut,
            jobs,
            to_share,
        })
    }

    /// What there is besides, if others claim too many of these; `most` counts from the same place.
    pub(super) fn look_further(
        &self,
        workers: &[String],
        rooms: &[i32],
        most: i32,
    ) -> Result<Option<Self>> {
        let is_more = self.is_full || self.cut.iter().any(|worker| rooms[*worker] > 0);
        match is_more {
            true => Self::look(workers, rooms, most).map(Some),
            false => Ok(None),
        }
    }

    /// Stores what a look has found that read very many jobs. Nobody waits for that, and nothing depends on it.
    pub(super) fn share(&self) -> Result<()> {
        let is_worth_it = !self.to_share.is_empty() && is_read_committed();
        if !is_worth_it || !lock::try_take(SHARING, 0, 0, pg_sys::ExclusiveLock) {
            return Ok(());
        }
        let (workers, places): (Vec<String>, Vec<Place>) = self.to_share.iter().cloned().unzip();
        let [priorities, times, ids, unseen_from, unseen] = arguments(&places);
        let arguments = [datum(workers), priorities, times, ids, unseen_from, unseen];
        STATEMENTS.with(|statements| statements.share.run(&arguments))?;
        Ok(())
    }
}

/// The next jobs from these places, what was found of each worker, and the transactions that had not ended.
fn read(
    workers: &[String],
    rooms: &[i32],
    places: &[Place],
    most: i32,
) -> Result<(Vec<i64>, Vec<Found>, Unseen)> {
    let [priorities, times, ids, unseen_from, others] = arguments(places);
    let arguments = [
        datum(workers.to_vec()),
        datum(rooms.to_vec()),
        priorities,
        times,
        ids,
        unseen_from,
        others,
        datum(most),
    ];
    let mut found = vec![Found::default(); workers.len()];
    let mut jobs = Vec::new();
    let mut unseen = None;
    let mut take = |row: &Answer| {
        unseen = row.get::<String>(7).zip(row.get::<String>(8));
        let id = row.get::<i64>(2)?;
        jobs.push(id);
        let worker = usize::try_from(row.get::<i64>(1)? - 1).ok()?;
        let place = Place {
            priority: row.get(3)?,
            run_at: row.get(4),
            id,
            unseen: None,
        };
        found.get_mut(worker)?.add(place, row.get(6));
        Some(())
    };
    STATEMENTS.with(|statements| {
        statements.next.rows(&arguments, |row| {
            take(row);
        })
    })?;
    Ok((jobs, found, unseen.unwrap_or_default()))
}

/// What a look has found of a worker.
#[derive(Clone, Default)]
struct Found {
    count: i32,
    first: Option<Place>,
    /// The first one that is not late.
    first_in_order: Option<Place>,
    /// The transactions that queued the jobs before the place where the look began.
    late: Vec<String>,
}

impl Found {
    fn add(&mut self, place: Place, late: Option<String>) {
        self.count += 1;
        match late {
            Some(transaction) => self.late.push(transaction),
            None => {
                self.first_in_order.get_or_insert_with(|| place.clone());
            }
        }
        self.first.get_or_insert(place);
    }

    /// Where the next look begins. It stays behind the jobs that are done for the sake of a few late ones: these are found again
    /// by their transactions.
    fn place(self, has_only_late: bool, unseen: &Unseen) -> Place {
        let (from, mut others) = unseen.clone();
        let first = match has_only_late || self.late.len() > MANY_LATE {
            true => self.first,
            false => {
                for late in self.late {
                    if !others.is_empty() {
                        others.push(',');
                    }
                    others.push_str(&late);
                }
                self.first_in_order
            }
        };
        Place {
            unseen: Some((from, others)),
            ..first.unwrap_or(Place::END)
        }
    }
}

/// Places as arguments of a statement.
fn arguments(places: &[Place]) -> [pg_sys::Datum; 5] {
    let priorities: Vec<i32> = places.iter().map(|it| it.priority).collect();
    let times: Vec<_> = places.iter().map(|it| it.run_at).collect();
    let ids: Vec<i64> = places.iter().map(|it| it.id).collect();
    let unseen = || places.iter().map(|it| it.unseen.clone());
    let (from, others): (Vec<_>, Vec<_>) = unseen().map(Option::unzip).unzip();
    [
        datum(priorities),
        datum(times),
        keys_argument(&ids),
        datum(from),
        datum(others),
    ]
}
