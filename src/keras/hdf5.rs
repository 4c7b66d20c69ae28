//! The HDF5 side: what Keras stores where, read and written with `hdf5-pure`.

use super::error::Problem;
use super::weights::{Array, Source};
use crate::config::keras::rank_of_class;
use hdf5_pure::{AttrValue, Dataset, File, FileBuilder, FinishedGroup, Group, GroupBuilder};
use std::collections::{BTreeMap, HashMap};

/// The first bytes of every HDF5 file.
pub(super) const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
/// The most bytes of names in one attribute: an object header holds no more than 64 kB. Keras has the same limit.
const MOST_NAMES: usize = 64_512;

/// Where what the reader says of a missing group stands.
const MISSING: &str = "its weights are missing";

/// An HDF5 file that Keras wrote.
pub(super) struct Reader {
    file: File,
    len: u64,
}

impl Reader {
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, Problem> {
        let len = bytes.len() as u64;
        let file = File::from_bytes(bytes)
            .map_err(|error| Problem::Unreadable { format: "HDF5 file", message: error.to_string() })?;
        let (end, base) = (file.superblock().eof_address, file.superblock().base_address.get());
        if base == 0 && end > len {
            return Err(Problem::CutOff { found: len, expected: end });
        }
        Ok(Self { file, len })
    }

    /// A string attribute of the root.
    pub(super) fn root_attribute(&self, name: &str) -> Result<Option<String>, Problem> {
        match attribute(&self.file.root(), name)? {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(Problem::malformed(format!("attribute \"{name}\""), "string")),
            },
        }
    }

    /// Whether this is what `save_weights` writes: `layer_names` at the root, or the native format's groups.
    pub(super) fn is_weights_alone(&self) -> bool {
        let root = self.file.root();
        let names = root.attrs().is_ok_and(|a| a.contains_key("layer_names") || a.contains_key("layer_names0"));
        names || ["layers", "_layer_checkpoint_dependencies"].iter().any(|name| root.group(name).is_ok())
    }

    pub(super) fn group(&self, path: &str) -> Result<Group, Problem> {
        self.file.group(path).map_err(Problem::format)
    }

    /// The layers as `model.save("….h5")` stores them: by name.
    pub(super) fn by_name(&self) -> ByName<'_> {
        ByName(self)
    }

    /// The layers as the native format stores them: by class. `classes` are those of the model's layers, in order, with
    /// their names.
    pub(super) fn by_class(&self, layers: &[(&str, &str)]) -> Result<ByClass<'_>, Problem> {
        ByClass::new(self, layers)
    }
}

/// An attribute of a group; none where there is no such attribute.
fn attribute(group: &Group, name: &str) -> Result<Option<AttrValue>, Problem> {
    let value = group.attrs().map_err(Problem::format)?.remove(name);
    // The reader leaves out what it can't decode, which mustn't pass for what isn't there.
    if value.is_none() && group.attr_datatypes().map_err(Problem::format)?.contains_key(name) {
        return Err(Problem::Attribute(name.to_owned()));
    }
    Ok(value)
}

/// A list of names, which may be split into `name0`, `name1`, …; none where there is no such attribute.
pub(super) fn names(group: &Group, name: &str) -> Result<Option<Vec<String>>, Problem> {
    // An empty list is stored as an array of no floats.
    let strings = |value: AttrValue| match (value.as_strings(), value.to_f64s()) {
        (Some(strings), _) => Ok(strings.to_vec()),
        (None, Some(floats)) if floats.is_empty() => Ok(Vec::new()),
        _ => Err(Problem::malformed(format!("attribute \"{name}\""), "list of strings")),
    };
    if let Some(value) = attribute(group, name)? {
        return strings(value).map(Some);
    }
    let mut all = None;
    for part in 0.. {
        let Some(value) = attribute(group, &format!("{name}{part}"))? else { break };
        all.get_or_insert_with(Vec::new).extend(strings(value)?);
    }
    Ok(all)
}

/// See [`Reader::by_name`].
pub(super) struct ByName<'a>(&'a Reader);

impl Source for ByName<'_> {
    fn arrays(&self, name: &str, _: &str) -> Result<Vec<Array<'_>>, Problem> {
        let group = self.0.group(&format!("model_weights/{name}"));
        let group = group.map_err(|problem| problem.within(MISSING))?;
        let open = |path: &str| {
            group.dataset(path).map_err(|error| Problem::format(error).within(format!("weight \"{path}\"")))
        };
        let datasets: Vec<Dataset> = match names(&group, "weight_names")? {
            Some(paths) => paths.iter().map(|path| open(path)).collect::<Result<_, _>>()?,
            // Never seen from Keras, but other writers and editors of its files may drop the attribute.
            None => {
                let find = |what: &str| {
                    let paths = [format!("{name}/{what}:0"), format!("{what}:0"), what.to_owned()];
                    paths.iter().find_map(|path| group.dataset(path).ok())
                };
                ["kernel", "bias"].iter().filter_map(|what| find(what)).collect()
            }
        };
        datasets.into_iter().map(|dataset| Array::hdf5(dataset, self.0.len)).collect()
    }
}

/// See [`Reader::by_class`].
pub(super) struct ByClass<'a> {
    reader: &'a Reader,
    /// Paths of the groups that hold the weights, by layer name.
    groups: HashMap<String, String>,
}

impl<'a> ByClass<'a> {
    /// The native format names a layer's group after its class: the first `locally_connected2d`, the next
    /// `locally_connected2d_1`, … in the order of the model's layers. Keras 2.12 and 2.13 visited some layers twice, so
    /// that their numbers have gaps; the order is the same.
    fn new(reader: &'a Reader, layers: &[(&str, &str)]) -> Result<Self, Problem> {
        let mut groups = HashMap::new();
        let mut containers = BTreeMap::new();
        for container in ["layers", "_layer_checkpoint_dependencies"] {
            if let Ok(group) = reader.group(container) {
                containers.insert(container, group.groups().map_err(Problem::format)?);
            }
        }
        let mut classes: Vec<&str> = layers.iter().map(|(_, class)| *class).collect();
        classes.sort_unstable();
        classes.dedup();
        for class in classes {
            let Some(rank) = rank_of_class(class) else { continue };
            let stem = format!("locally_connected{rank}d");
            let of_class: Vec<_> = layers.iter().filter(|(_, c)| *c == class).collect();
            let mut found = Vec::new();
            for (container, members) in &containers {
                let mut numbered: Vec<(u64, &String)> =
                    members.iter().filter_map(|name| Some((number(name.strip_prefix(&stem)?)?, name))).collect();
                numbered.sort_unstable();
                found = numbered.iter().map(|(_, name)| format!("{container}/{name}/vars")).collect();
                if !found.is_empty() {
                    break;
                }
            }
            if found.len() != of_class.len() {
                let (class, found, expected) = (class.to_owned(), found.len(), of_class.len());
                return Err(Problem::LayerCount { class, found, expected });
            }
            groups.extend(of_class.iter().map(|(name, _)| (*name).to_owned()).zip(found));
        }
        Ok(Self { reader, groups })
    }
}

/// The number behind a group's stem: none is 0, `_3` is 3.
fn number(suffix: &str) -> Option<u64> {
    match suffix {
        "" => Some(0),
        _ => suffix.strip_prefix('_')?.parse().ok(),
    }
}

impl Source for ByClass<'_> {
    fn arrays(&self, name: &str, _: &str) -> Result<Vec<Array<'_>>, Problem> {
        let path = self.groups.get(name).ok_or(Problem::NoWeights)?;
        let group = self.reader.group(path).map_err(|problem| problem.within(MISSING))?;
        let count = group.datasets().map_err(Problem::format)?.len();
        let within = |i: usize| format!("weight {i} in {path}");
        let open = |i: usize| group.dataset(&i.to_string()).map_err(|error| Problem::format(error).within(within(i)));
        (0..count).map(|i| Array::hdf5(open(i)?, self.reader.len)).collect()
    }
}

/// A group to be written, with all below it.
#[derive(Default)]
pub(super) struct Tree<'a> {
    attributes: BTreeMap<String, AttrValue>,
    datasets: BTreeMap<String, Values<'a>>,
    groups: BTreeMap<String, Tree<'a>>,
}

/// An array to be written.
pub(super) struct Values<'a> {
    pub shape: Vec<usize>,
    pub data: &'a [f32],
    /// As 64-bit floats, which a float64 layer of Keras has.
    pub double: bool,
}

impl<'a> Tree<'a> {
    pub(super) fn attribute(&mut self, name: &str, text: &str) {
        // A string in the header is smaller, but one in the heap has no limit.
        let value = match text.len() <= 1000 && text.is_ascii() {
            true => AttrValue::AsciiString(text.into()),
            false => AttrValue::VarLenString(text.into()),
        };
        self.attributes.insert(name.into(), value);
    }

    /// A list of names, as Keras's `save_attributes_to_hdf5_group` lays it out: of fixed width, in several attributes
    /// where one can't hold them.
    pub(super) fn names(&mut self, name: &str, names: &[String]) -> Result<(), Problem> {
        let Some(width) = names.iter().map(String::len).max() else {
            self.attributes.insert(name.into(), AttrValue::F64Array(Vec::new()));
            return Ok(());
        };
        let count = MOST_NAMES.checked_div(width).filter(|&count| count > 0);
        let count = count.ok_or(Problem::NameLength(width))?;
        let strings = |names: &[String]| match names.iter().all(|name| name.is_ascii()) {
            true => AttrValue::AsciiStringArray(names.to_vec()),
            false => AttrValue::StringArray(names.to_vec()),
        };
        if names.len() <= count {
            self.attributes.insert(name.into(), strings(names));
        } else {
            for (part, names) in names.chunks(count).enumerate() {
                self.attributes.insert(format!("{name}{part}"), strings(names));
            }
        }
        Ok(())
    }

    /// The group at `path` below this one, made where it isn't there.
    pub(super) fn group(&mut self, path: &str) -> Result<&mut Self, Problem> {
        // Writing recurses once per part.
        if path.split('/').count() > 100 || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Problem::GroupName(path.to_owned()));
        }
        let mut tree = self;
        for part in path.split('/') {
            if tree.datasets.contains_key(part) {
                return Err(Problem::TwoGroups(path.to_owned()));
            }
            tree = tree.groups.entry(part.to_owned()).or_default();
        }
        Ok(tree)
    }

    /// Stores an array at `path` below this group.
    pub(super) fn dataset(&mut self, path: &str, values: Values<'a>) -> Result<(), Problem> {
        let (group, name) = path.rsplit_once('/').unwrap_or(("", path));
        let group = if group.is_empty() { self } else { self.group(group)? };
        if group.groups.contains_key(name) || group.datasets.insert(name.to_owned(), values).is_some() {
            return Err(Problem::TwoGroups(path.to_owned()));
        }
        Ok(())
    }

    /// The bytes of a file with this tree as its root.
    pub(super) fn into_bytes(self) -> Result<Vec<u8>, Problem> {
        let mut file = FileBuilder::new();
        for (name, value) in self.attributes {
            file.set_attr(&name, value);
        }
        for (name, tree) in self.groups {
            let group = file.create_group(&name);
            file.add_group(tree.finish(group));
        }
        file.finish().map_err(Problem::format)
    }

    fn finish(self, mut group: GroupBuilder) -> FinishedGroup {
        for (name, value) in self.attributes {
            group.set_attr(&name, value);
        }
        for (name, values) in self.datasets {
            let shape: Vec<u64> = values.shape.iter().map(|&size| size as u64).collect();
            let dataset = group.create_dataset(&name);
            if values.double {
                let data: Vec<f64> = values.data.iter().map(|&v| v.into()).collect();
                dataset.with_f64_data(&data).with_shape(&shape);
            } else {
                dataset.with_f32_data(values.data).with_shape(&shape);
            }
        }
        for (name, tree) in self.groups {
            let builder = group.create_group(&name);
            group.add_group(tree.finish(builder));
        }
        group.finish()
    }
}
