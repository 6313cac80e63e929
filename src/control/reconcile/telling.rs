//! What is said of operations on their way, and of those that wait.

use super::Reconciler;
use crate::control::Event;
use crate::control::progress::{Scene, waits, waits_of};
use crate::engine::{Engine, Note};
use crate::plan::{ObservedContainer, Plan};

impl<E: Engine> Reconciler<E> {
    /// Takes in what an operation says on its way.
    pub(super) fn note(&mut self, note: Note) {
        match note {
            Note::Started(container) => self.announce_start(&container),
            Note::Container(container) => {
                let id = container.record.id.clone();
                self.observed.containers.insert(id, container);
            }
            Note::ContainerGone(id) => drop(self.observed.containers.remove(&id)),
            Note::Output {
                service,
                name,
                line,
            } => self.audience.announce(&Event::Output {
                service,
                name,
                line,
            }),
        }
    }

    pub(super) fn announce_start(&mut self, container: &ObservedContainer) {
        let record = &container.record;
        self.audience.announce(&Event::Started {
            service: record.service.clone(),
            number: record.number,
            name: record.name.clone(),
            id: record.id.clone(),
        });
    }

    /// Tells commands of what they wait for.
    pub(super) fn tell_waiting(&mut self, plan: &Plan) {
        let scene = Scene {
            plan,
            desired: &self.desired,
            observed: &self.observed,
            busy: &self.busy,
        };
        for command in &self.commands {
            let mut one_offs = self.waiting.iter();
            let one_off = one_offs.find(|(_, events)| events.same_channel(&command.events));
            let waits = match one_off {
                Some((one_off, _)) => one_off
                    .model()
                    .map(|model| waits_of(&one_off.service, model))
                    .unwrap_or_default(),
                None => waits(command.dependencies, &command.goal, &self.desired),
            };
            self.audience.tell_waits(&command.events, waits, &scene);
            if command.goal.healthy {
                self.audience
                    .tell_goal(&command.events, &command.goal, &scene);
            }
        }
    }
}
