//! The complete configuration.

use super::flow::Flow;
use super::request::{Request, SCHEMA};
use super::yaml::{name_of, one_line};
use super::{encode, pick};
use crate::shipped::ShippedFlow;
use latent_align_hdf5::FileListing;
use latent_align_stages::Result;
use latent_align_stages::context::Monitor;

/// Writes the configuration.
///
/// # Errors
/// [`Error::Input`] for a file without a suitable dataset, with several if none was named, with values
/// that are not finite, or that can be read in several ways; errors of the scans.
pub fn starter(request: &Request, monitor: &dyn Monitor) -> Result<String> {
    let (files, _) = request.features;
    let (flow, encode) = match request.flow {
        Some(flow) => with_flow(request, flow, monitor)?,
        None => with_features(request, monitor)?,
    };
    let comment = if request.schema {
        format!("# yaml-language-server: $schema={SCHEMA}\n")
    } else {
        String::new()
    };
    let out = one_line(request.out.display());
    Ok(format!(
        "\
{comment}# {of_file}: a first experiment, written by `latent-align init` after a scan.
# Every value is a starting point; `latent-align config --defaults` shows all keys and what they mean.
#
#   latent-align run {out} --quick    a first try in a minute or two, whose figures are not results
#   latent-align plan {out}           what would run, and why; nothing is computed
#   latent-align run {out}            run it; the report has the results
name: {name}

{flow}
{encode}
# Likelihoods under the flow, region by region, and whether the alignment loss is a surrogate for them.
estimate_nll:
  points: 300   # a region
",
        of_file = one_line(files),
        name = name_of(request.out),
    ))
}

/// The sections of the features' flow, and of the data to encode.
fn with_features(request: &Request, monitor: &dyn Monitor) -> Result<(String, String)> {
    let (files, dataset) = request.features;
    let file = files.first();
    let listing = FileListing::read(file)?;
    let features = pick::features(&listing, dataset)?;
    let flow = Flow::scan(request, &features, monitor)?;

    let data_file = request.data.unwrap_or(file);
    let same = data_file.canonicalize().ok() == file.canonicalize().ok();
    let taken = same.then_some(features.as_str());
    let data = match (request.data_dataset, request.data) {
        (Some(named), _) => Some(named.to_owned()),
        (None, Some(data)) => Some(pick::data(&FileListing::read(data)?, taken)?),
        // images in several files are not looked for
        (None, None) if files.are_several() => None,
        (None, None) => pick::images(&listing, taken),
    };
    let encode = match &data {
        Some(dataset) => encode::section(request, data_file, dataset, flow.width(), monitor)?,
        None => encode::without_data(&flow),
    };
    Ok((flow.section(request.out)?, encode))
}

/// The key of a flow that is part of the program, and the section of the data to encode.
fn with_flow(
    request: &Request,
    flow: &ShippedFlow,
    monitor: &dyn Monitor,
) -> Result<(String, String)> {
    let (files, dataset) = request.features;
    let file = files.first();
    let data = match request.data_dataset.or(dataset) {
        Some(named) => named.to_owned(),
        None => pick::data(&FileListing::read(file)?, None)?,
    };
    let encode = encode::section(request, file, &data, flow.width, monitor)?;
    let key = format!(
        "\
# The latents follow this flow, which is part of the program: {about}.
# To use features of your own, run `latent-align init FEATURES.h5 --data {data}`.
flow: {name}
",
        about = flow.about,
        data = one_line(file.display()),
        name = flow.name,
    );
    Ok((key, encode))
}
