//! What the verbs share that hand something to a run which goes on by it: the answer to a review, a signal, a resume.
//! If no other process holds the data directory, the run is driven and followed then.

use clap::Args;

use super::context::{Context, block_on};
use super::exit::{Exit, Failure};
use super::follow::{self, Manner};
use super::site::Site;
use super::stored;
use crate::host::{Access, Drive};

/// What each of these verbs is given.
#[derive(Args, Clone, Debug)]
pub struct GoOnArgs {
    /// Only record it: do not make the run go on
    #[arg(long)]
    no_drive: bool,
    /// If the run comes to a review, do not ask on the terminal: end with exit code 4
    #[arg(long)]
    no_ask: bool,
    /// Print one text member of the run's result as it is, such as `report.markdown`
    #[arg(long, value_name = "PATH", conflicts_with = "json")]
    print: Option<String>,
}

impl GoOnArgs {
    /// Hands something to a run and tells how it was taken, then drives the run, or the one that it is a part of, and follows
    /// what is new of that, asking in the name of `who`.
    pub fn execute(
        &self,
        run_id: &str,
        who: String,
        context: &Context,
        hand_over: impl AsyncFnOnce(&Access) -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        let (run_id, from_seq) = match context.site()? {
            // A child run goes on for its parent.
            Site::Store(store) => {
                let run_id = stored::topmost(&store.reader, run_id)?;
                let from_seq = store.reader.event_count(&run_id)?;
                (run_id, from_seq)
            }
            // It makes the run go on by itself.
            Site::Server(_) => (run_id.to_owned(), 0),
        };
        let run_id = &run_id;
        let manner = Manner { from_seq, ask_as: (!self.no_ask).then_some(who), print: self.print.clone() };
        let config = context.config_here()?;
        block_on(async {
            let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
            let ended = self.go_on(&access, run_id, &manner, context, hand_over).await;
            let closed = access.close().await;
            let exit = ended?;
            closed?;
            Ok(exit)
        })
    }

    async fn go_on(
        &self,
        access: &Access,
        run_id: &str,
        manner: &Manner,
        context: &Context,
        hand_over: impl AsyncFnOnce(&Access) -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        hand_over(access).await?;
        if self.no_drive || !access.is_holder() {
            return Ok(Exit::Succeeded);
        }
        access.drive(run_id).await?;
        follow::to_the_end(access, run_id, context, manner).await
    }
}
