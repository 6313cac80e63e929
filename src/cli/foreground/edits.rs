//! Edits of the stack file while `up` shows the output: what is added is shown, too, and the end of
//! what is replaced is no end.

use super::{Report, Session};
use crate::cli::error::Result;
use crate::compose::model::ServiceName;
use crate::control::Event;
use crate::ui::Terminal;

impl Session<'_> {
    /// Takes in what is said of an edit.
    pub(super) fn edit(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Said { text } => {
                // What cannot be written now will fail again, and be reported, with the next line.
                let _ = self.logs.flush();
                self.progress.above(|| Terminal::say(text));
            }
            Event::Reloading {
                services,
                attachable,
            } => self.reloading(services, attachable),
            Event::Reloaded => {
                self.reloading = false;
                // What has come is followed, what has gone is not waited for.
                self.look(Report::Nothing)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn reloading(&mut self, services: &[ServiceName], attachable: &[ServiceName]) {
        self.reloading = true;
        let what = &mut self.what;
        if what.attach_new {
            let known = &what.selection.services;
            let new = attachable.iter().filter(|name| !known.contains(name));
            let new: Vec<ServiceName> = new.cloned().collect();
            what.attached.extend(new.iter().cloned());
            what.watched.extend(new.iter().cloned());
            what.stopped.extend(new);
        }
        what.attached.retain(|name| services.contains(name));
        what.watched.retain(|name| services.contains(name));
        what.stopped.retain(|name| services.contains(name));
        what.selection.services = services.to_vec();
    }
}
