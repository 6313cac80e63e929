//! The loop over the machine, on a clock that goes on to the next thing that happens.

use std::time::Duration;

use jiff::Timestamp;

use super::Failure;
use super::history::Event;
use super::machine::{Error, Simulation};
use crate::control::turn;
use crate::plan::{Op, Outcome, Plan, RecordedFailure, Step, Then, plan};
use crate::state::records::HealthStatus;

/// Far more turns than any of these small stacks needs to come to rest.
const PATIENCE: usize = 300;

impl Simulation {
    /// Time goes by.
    pub(super) fn pass(&mut self, time: Duration) -> Result<(), Failure> {
        let until = self.now + time;
        loop {
            let plan = self.turn()?;
            let next = self.next(&plan);
            if next.is_none() && plan.is_empty() && self.desired.updates.is_empty() {
                self.check_by_hand()?;
                self.moved.clear();
                self.network_moved = false;
            }
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until;
                return Ok(());
            };
            self.now = self.now.max(next);
        }
    }

    fn next(&self, plan: &Plan) -> Option<Timestamp> {
        let done = self.operations.iter().map(|(done, ..)| *done);
        let due = plan.steps.iter().filter_map(|step| step.not_before);
        let watched = plan.watches.iter().filter_map(|watch| watch.until);
        done.chain(due).chain(watched).min()
    }

    /// One turn of the loop: what has happened is taken in, what is ready begins.
    pub(super) fn turn(&mut self) -> Result<Plan, Failure> {
        self.take_ends();
        let mut done = Vec::new();
        let now = self.now;
        self.operations.retain(|operation| {
            let is_done = operation.0 <= now;
            if is_done {
                done.push(operation.clone());
            }
            !is_done
        });
        for (_, step, container) in done {
            self.busy.remove(step.op.subject().1);
            let result = self.apply(&step, container);
            self.take_ends();
            match result {
                Ok(applied) => {
                    turn::succeeded(&step, &mut self.observed);
                    turn::done(applied, &mut self.observed);
                }
                Err(error) => self.failed(&step, error),
            }
        }
        let mut plan = plan(&self.desired, &self.observed, self.now);
        while !plan.turns.is_empty() {
            for turn in &plan.turns {
                self.moved.push(turn.service.clone());
                self.desired.turn(turn, now);
                if matches!(turn.outcome, Outcome::RollBack(_)) {
                    self.observed.failures.clear();
                }
            }
            plan = crate::plan::plan(&self.desired, &self.observed, now);
        }
        let ready: Vec<Step> = turn::ready(&plan, (&self.observed, &self.busy))
            .cloned()
            .collect();
        for step in ready {
            if !self.busy.contains_key(step.op.subject().1) {
                self.begin(step, &plan)?;
            }
        }
        Ok(plan)
    }

    fn take_ends(&mut self) {
        for id in std::mem::take(&mut self.ends) {
            if let Some(container) = self.containers.get(&id).cloned() {
                turn::ended(container, (&self.desired, &mut self.observed));
            }
        }
    }

    fn begin(&mut self, step: Step, plan: &Plan) -> Result<(), Failure> {
        self.check_begin(&step, plan)?;
        let container = turn::begin(&step, (&self.desired, &mut self.observed));
        if let Op::StopContainer { id, then, .. } = &step.op
            && let (Some(real), Some(known)) = (self.containers.get_mut(id), &container)
        {
            // Written down before anything is done.
            real.status = known.status.clone();
            real.status.interrupted = *then == Then::StartAgain;
        }
        let takes = match self.random.u8(..20) {
            0 => self.random.u64(500..3000),
            _ => self.random.u64(1..60),
        };
        self.busy
            .insert(step.op.subject().1.to_owned(), step.clone());
        let done = self.now + Duration::from_millis(takes);
        self.operations.push((done, step, container));
        Ok(())
    }

    fn failed(&mut self, step: &Step, error: Error) {
        if error != Error::CutShort {
            let failure = RecordedFailure {
                at: self.now,
                message: "it failed".to_owned(),
            };
            turn::failed(step, failure, &mut self.observed);
        }
        if let Op::StartContainer { id: Some(id), .. } | Op::StopContainer { id, .. } = &step.op
            && let Some(container) = self.containers.get(id)
        {
            let container = container.clone();
            self.observed.containers.insert(id.clone(), container);
        }
    }

    /// Nothing more happens but what the loop does, and programs that turn healthy.
    pub(super) fn come_to_rest(&mut self) -> Result<(), Failure> {
        self.fail_next = false;
        // What failed is asked for again, and so is what was taken back or paused.
        self.command(&Event::Up(Vec::new()));
        for (name, service) in self.desired.services.clone() {
            let known = self.desired.updates.get(&name);
            if known.is_some_and(|update| !update.is_underway()) {
                self.update(&name, service.clone(), Some(&service));
            }
        }
        for _ in 0..PATIENCE {
            let plan = self.turn()?;
            if let Some(next) = self.next(&plan) {
                self.now = self.now.max(next);
                continue;
            }
            let ill = self.observed.containers.values().find(|container| {
                container.is_up()
                    && !matches!(container.health(), None | Some(HealthStatus::Healthy))
            });
            match ill.map(|container| container.record.id.clone()) {
                Some(id) => self.probe(&id, true),
                None => return self.check_rest(),
            }
        }
        let left = plan(&self.desired, &self.observed, self.now);
        Err(format!("no rest after {PATIENCE} turns; left:\n{left}"))
    }
}
