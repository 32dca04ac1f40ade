//! `share`: the shares of a table, for three servers.

use std::path::Path;
use std::time::Instant;

use shamisen_data::dataset::DatasetDescription;
use shamisen_data::model::PREPROCESSING_FILE;
use shamisen_local::share::share_table;

use crate::args::ShareArguments;
use crate::failure::Result;
use crate::interrupt;
use crate::progress::Screen;
use crate::summary::{counted, seconds};

/// Carries out `share`.
pub(crate) fn run(arguments: &ShareArguments) -> Result<()> {
    let options = arguments.fields().table()?;
    interrupt::install();
    let started = Instant::now();
    let (widest, output) = (arguments.sharing.widest_layer, &arguments.output);
    let description = share_table(&options, widest, output, &mut Screen::default())?;
    let time = seconds(started.elapsed().as_secs_f64());
    crate::print(&text(&description, output, &time))
}

fn text(description: &DatasetDescription, output: &Path, time: &str) -> String {
    let test =
        description.test_rows.map_or_else(|| "no test rows".to_owned(), |rows| counted(rows, "test row"));
    let dir = output.display();
    format!(
        "shared         {}, {test}, {}, in {time}\n\
         data set       {}\n\
         to the servers {dir}/party0, {dir}/party1, {dir}/party2: one each, and to nobody a second one\n\
         stays          {dir}/{PREPROCESSING_FILE}: statistics of the table, for those who predict\n",
        counted(description.rows, "training row"),
        counted(description.features, "feature"),
        description.id,
    )
}
