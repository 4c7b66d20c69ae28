//! What Keras stores where in HDF5, read with `hdf5-pure`.

use crate::architecture::Architecture;
use crate::compiled::StoredState;
use crate::contents::Contents;
use crate::error::Problem;
use crate::metered::{Metered, Metering};
use crate::named::{Named, Places};
use crate::names::snake_case;
use crate::shapes::elements;
use crate::weights::{Array, Hdf5Array, Nothing, Room, Source, hdf5_problem};
use hdf5_pure::{AttrValue, ChunkCacheConfig, File, FileAccessProperties, Group, WriteMarkPolicy};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// The first bytes of every HDF5 file.
pub(crate) const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";

/// The suffixes that Keras 1 gives a layer's name to name its weights.
const KERAS1: [&str; 9] = [
    "_W",
    "_b",
    "_gamma",
    "_beta",
    "_running_mean",
    "_running_std",
    "_alphas",
    "_depthwise_kernel",
    "_pointwise_kernel",
];

/// What error messages say where a group is missing.
const MISSING: &str = "its weights are missing";

/// An HDF5 file that Keras wrote.
pub(crate) struct Reader {
    file: File,
    contents: Contents,
    meter: Metering,
    room: Room,
    /// The groups in those whose path was walked. The library lists a group for each name that it looks for.
    groups: Known<Named<Group>>,
    /// The arrays in those of which some were read.
    arrays: Known<Arrays>,
    /// The attributes of those of which some were read. The library decodes all of them at once.
    attributes: Known<Attributes>,
}

/// The arrays of a group.
type Arrays = Named<Rc<Hdf5Array>>;

/// What was found under a name, or why nothing was.
type Known<T> = RefCell<Named<Result<Rc<T>, Problem>>>;

/// How many bytes of its members' paths a group has for each byte of the file, at most.
const PATHS: u64 = 16;

/// What a path takes for each name in it, in bytes.
const OF_NAME: usize = 24;

/// The longest path of a group, in bytes: each array in it is asked for by a path that begins so.
const LONG: usize = 2048;

/// Most groups in a path: a group may hold itself.
const DEEP: usize = 64;

/// The groups that hold the native format's layers, now and up to Keras 2.12.
const CONTAINERS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

impl Reader {
    /// Reads from the file when needed, so that memory never holds more than is read.
    pub(crate) fn new(contents: Contents) -> Result<Self, Problem> {
        let (len, room) = (contents.length(), Room::of(contents.length(), contents.packed()));
        // Also if a writer that was killed left its mark. That keeps nobody from reading a copy. Each array is read once.
        let properties = FileAccessProperties::new()
            .with_write_mark_policy(WriteMarkPolicy::AllowSnapshot)
            .with_chunk_cache(ChunkCacheConfig::disabled());
        let source = Metered::new(contents.clone());
        let meter = source.metering();
        let file = File::from_source_with_options(source, properties);
        let file = file.map_err(|error| Problem::Unreadable { format: "HDF5 file", message: error.to_string() })?;
        let superblock = file.superblock();
        if (superblock.offset_size, superblock.length_size) != (8, 8) {
            return Err(Problem::Hdf5("addresses of other than 64 bits".into()));
        }
        let (end, base) = (superblock.eof_address, superblock.base_address.get());
        if base == 0 && end > len {
            return Err(Problem::CutOff { found: len, expected: end });
        }
        let (groups, arrays, attributes) = (RefCell::default(), RefCell::default(), RefCell::default());
        Ok(Self { file, contents, meter, room, groups, arrays, attributes })
    }

    /// What was made of it, if it wasn't refused meanwhile.
    pub(crate) fn checked<T>(&self, made: Result<T, Problem>) -> Result<T, Problem> {
        self.meter.check().and(made)
    }

    /// A string attribute of the root.
    pub(crate) fn root_attribute(&self, name: &str) -> Result<Option<String>, Problem> {
        let text = self.attributes("")?.text(name)?;
        text.as_deref().map_or(Ok(()), |text| self.contents.check_text(text))?;
        Ok(text)
    }

    /// Whether this is a file of `save_weights`: `layer_names` at the root, or the native format's groups.
    pub(crate) fn is_weights_alone(&self) -> bool {
        self.has_layer_names() || self.has_containers()
    }

    /// Whether the root lists layers.
    fn has_layer_names(&self) -> bool {
        self.attributes("")
            .is_ok_and(|all| ["layer_names", "layer_names0"].iter().any(|&name| all.values.contains_key(name)))
    }

    fn has_containers(&self) -> bool {
        CONTAINERS.iter().any(|name| self.group(name).is_ok())
    }

    /// The group at a path.
    pub(crate) fn group(&self, path: &str) -> Result<Group, Problem> {
        if path.len() > LONG {
            return Err(Problem::Hdf5("a path of more than 2048 bytes".into()));
        }
        let (mut group, mut names) = (self.file.root(), 0);
        for (deep, name) in path.split('/').enumerate() {
            if !name.is_empty() {
                let groups = self.groups(path.get(..names).unwrap_or_default(), &group)?;
                let found = groups.get(name).filter(|_| deep < DEEP).cloned();
                group = found.ok_or_else(|| Problem::lacks("the file", format!("group \"{path}\"")))?;
            }
            names += name.len() + 1;
        }
        Ok(group)
    }

    /// The groups in this one, which is at that path.
    fn groups(&self, path: &str, group: &Group) -> Result<Rc<Named<Group>>, Problem> {
        once(&self.groups, path, || {
            let groups = group.iter_groups().map_err(Problem::format)?;
            self.check_paths(path, groups.len())?;
            Ok(Rc::new(groups.collect()))
        })
    }

    /// The arrays in this group, which is at that path.
    fn arrays(&self, path: &str, group: &Group) -> Result<Rc<Arrays>, Problem> {
        once(&self.arrays, path, || {
            let arrays = group.iter_datasets().map_err(hdf5_problem)?;
            self.check_paths(path, arrays.len())?;
            Ok(Rc::new(
                arrays.map(|(name, dataset)| (name, Rc::new(Hdf5Array::new(dataset, self.contents.clone())))).collect(),
            ))
        })
    }

    /// Each of a group's members has a copy of the group's path.
    fn check_paths(&self, path: &str, members: usize) -> Result<(), Problem> {
        let own = path.len() + OF_NAME * path.split('/').count();
        match self.room.holds(own as u64 * members as u64 / PATHS) {
            true => Ok(()),
            false => Err(Problem::Hdf5("a group of a long name and many members".into())),
        }
    }

    /// The attributes of the group at a path.
    fn attributes(&self, path: &str) -> Result<Rc<Attributes>, Problem> {
        once(&self.attributes, path, || Ok(Rc::new(Attributes::of(self.group(path)?, &self.meter)?)))
    }

    /// A list of names of the group at a path, which may be split into `name0`, `name1`, …; none if there is no such attribute.
    pub(crate) fn names(&self, path: &str, name: &str) -> Result<Option<Vec<String>>, Problem> {
        self.attributes(path)?.names(name)
    }

    /// The weights that are listed for the layer whose group is at a path.
    fn weight_names(&self, path: &str) -> Result<Option<Vec<String>>, Problem> {
        self.group(path).map_err(|problem| problem.within(MISSING))?;
        self.names(path, "weight_names")
    }

    /// A dataset, by its path from the group at that one, or from the root.
    pub(crate) fn array(&self, root: &str, path: &str) -> Result<Rc<Hdf5Array>, Problem> {
        let whole = match path.strip_prefix('/') {
            Some(whole) => whole.to_owned(),
            None => format!("{root}/{path}"),
        };
        let (group, name) = whole.rsplit_once('/').unwrap_or(("", &whole));
        let arrays = self.group(group).and_then(|own| self.arrays(group, &own));
        let found = arrays.and_then(|arrays| arrays.get(name).cloned().ok_or(Problem::NoWeights));
        found.map_err(|problem| problem.within(format!("weight \"{path}\"")))
    }

    /// A string attribute of the root, or of the weights' group: in whole models it may be in either.
    pub(crate) fn attribute_of_weights(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.root_attribute(name)? {
            None if self.group("model_weights").is_ok() => self.attributes("model_weights")?.text(name),
            found => Ok(found),
        }
    }

    /// Whether the root has the groups of the native format, as in `.weights.h5`.
    pub(crate) fn has_native_groups(&self) -> bool {
        !self.has_layer_names() && self.has_containers()
    }

    /// The layers as `model.save("….h5")` and `save_weights("….h5")` store them: by name. If weights alone have other
    /// names than the architecture, they are taken in order, as Keras does.
    pub(crate) fn by_name(&self, architecture: &Architecture<'_>) -> Result<ByName<'_>, Problem> {
        let root = if self.group("model_weights").is_ok() { "model_weights/" } else { "" };
        let listed = Rc::default();
        let mut source = ByName { reader: self, root, group: None, wrapper: None, renamed: Rc::default(), listed };
        let Some(listed) = self.names(root.trim_end_matches('/'), "layer_names")? else { return Ok(source) };
        let mut found = Vec::new();
        for name in listed {
            if self.weight_names(&format!("{root}{name}"))?.is_some_and(|weights| !weights.is_empty()) {
                found.push(name);
            }
        }
        let layers = architecture.with_weights();
        let known: Named<()> = architecture.layers.iter().map(|layer| (layer.name.clone(), ())).collect();
        let known = |name: &String| known.get(name).is_some();
        if root.is_empty() && !found.iter().all(known) {
            if found.len() != layers.len() {
                return Err(Problem::Layers { found, expected: layers });
            }
            source.renamed = Rc::new(layers.into_iter().zip(found).collect());
        }
        Ok(source)
    }

    /// The optimizer's variables as `model.save("….h5")` stores them: the number of steps, then the others in Keras's
    /// order.
    pub(crate) fn optimizer_by_name(&self) -> StoredState {
        if self.group("optimizer_weights").is_err() {
            return Ok(None);
        }
        let paths = self.names("optimizer_weights", "weight_names")?.unwrap_or_default();
        self.optimizer(paths.iter().map(|path| self.array("optimizer_weights", path)).collect::<Result<_, _>>()?)
    }

    /// The optimizer's variables as the native format stores them.
    pub(crate) fn optimizer_by_number(&self) -> StoredState {
        let Ok(group) = self.group("optimizer/vars") else { return Ok(None) };
        let arrays = self.arrays("optimizer/vars", &group)?;
        self.optimizer(numbered(&arrays)?)
    }

    fn optimizer(&self, arrays: Vec<Rc<Hdf5Array>>) -> StoredState {
        let mut arrays = arrays.into_iter();
        let Some(steps) = arrays.next() else { return Ok(None) };
        // What was never written has any shape in no bytes.
        let is_one = elements(&self.room.extent(&steps.dataset)?.shape)? == 1;
        let steps = if is_one { steps.integer()? } else { None };
        let steps = steps.ok_or_else(|| Problem::malformed("the number of steps", "number"))?;
        let read = |array| {
            let array = Array::hdf5(array, &self.room)?;
            Ok((array.shape.clone(), array.read()?))
        };
        Ok(Some((steps, arrays.map(read).collect::<Result<_, Problem>>()?)))
    }

    /// The layers as the native format stores them: by class. `layers` are the names and classes of the model's layers
    /// in order.
    pub(crate) fn by_class(&self, layers: &[(&str, &str)]) -> ByClass<'_> {
        ByClass::new(self, "", layers)
    }
}

/// The attributes of a group.
struct Attributes {
    group: Group,
    values: HashMap<String, AttrValue>,
    /// The names of all, once one was looked for that isn't among those.
    names: OnceCell<Result<Vec<String>, Problem>>,
}

impl Attributes {
    fn of(group: Group, meter: &Metering) -> Result<Self, Problem> {
        let values = meter.of_attributes(|| group.attrs()).map_err(Problem::format)?;
        Ok(Self { group, values, names: OnceCell::new() })
    }

    /// None if there isn't one.
    fn get(&self, name: &str) -> Result<Option<&AttrValue>, Problem> {
        let value = self.values.get(name);
        // The reader leaves out attributes that it can't decode; they must not count as missing.
        let types = || self.group.attr_datatypes().map_err(Problem::format);
        let names = || types().map(|types| types.into_keys().collect());
        match value {
            None if self.names.get_or_init(names).clone()?.iter().any(|known| known == name) => {
                Err(Problem::Attribute(name.to_owned()))
            }
            found => Ok(found),
        }
    }

    /// A string; none if there is no such attribute.
    fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        // One that begins with a zero character has another meaning in JSON here.
        let text = |value: &AttrValue| value.as_str().filter(|text| !text.starts_with('\0')).map(str::to_owned);
        let is_none = || Problem::malformed(format!("attribute \"{name}\""), "string");
        self.get(name)?.map(|value| text(value).ok_or_else(is_none)).transpose()
    }

    /// A list of different names, which may be split into `name0`, `name1`, …; none if there is no such attribute.
    fn names(&self, name: &str) -> Result<Option<Vec<String>>, Problem> {
        let Some(names) = self.strings(name)? else { return Ok(None) };
        let mut places = Places::default();
        match names.iter().any(|name| places.insert(name.clone(), 0).is_some()) {
            true => Err(Problem::malformed(format!("attribute \"{name}\""), "list of different strings")),
            false => Ok(Some(names)),
        }
    }

    fn strings(&self, name: &str) -> Result<Option<Vec<String>>, Problem> {
        // An empty list is stored as an empty array of floats.
        let strings = |value: &AttrValue| match (value.as_strings(), value.to_f64s()) {
            (Some(strings), _) => Ok(strings.to_vec()),
            (None, Some(floats)) if floats.is_empty() => Ok(Vec::new()),
            _ => Err(Problem::malformed(format!("attribute \"{name}\""), "list of strings")),
        };
        if let Some(value) = self.get(name)? {
            return strings(value).map(Some);
        }
        let mut all = None;
        for part in 0.. {
            let Some(value) = self.get(&format!("{name}{part}"))? else { break };
            all.get_or_insert_with(Vec::new).extend(strings(value)?);
        }
        Ok(all)
    }
}

/// See [`Reader::by_name`].
pub(crate) struct ByName<'a> {
    reader: &'a Reader,
    /// Inside a layer: the outermost layer, whose group has all weights inside it, however deep.
    group: Option<String>,
    /// Inside a wrapper: its name, under which its layer's weights are stored.
    wrapper: Option<String>,
    /// The path of the group of all weights, with a trailing slash.
    root: &'static str,
    /// The file's names of the model's layers, if they differ from the model's.
    renamed: Rc<Named<String>>,
    /// The weights that are listed for a group, for those that were asked: all layers inside a layer ask for the same.
    listed: Rc<Known<Listed>>,
}

impl ByName<'_> {
    /// The weights that are stored under a layer's own name.
    fn own(&self, name: &str) -> Result<Vec<Rc<Hdf5Array>>, Problem> {
        let name = self.renamed.get(name).map_or(name, String::as_str);
        let root = format!("{}{name}", self.root);
        match self.reader.weight_names(&root)? {
            Some(paths) => paths.iter().map(|path| self.reader.array(&root, path)).collect(),
            // Never seen from Keras, but other programs that write or edit its files may drop the attribute.
            None => {
                let find = |what: &str| {
                    let paths = [format!("{name}/{what}:0"), format!("{what}:0"), what.to_owned()];
                    paths.iter().find_map(|path| self.reader.array(&root, path).ok())
                };
                Ok(["kernel", "bias"].iter().filter_map(|what| find(what)).collect())
            }
        }
    }

    /// A layer's weights among all that are stored for the outermost one.
    fn among(&self, outermost: &str, name: &str) -> Result<Vec<Rc<Hdf5Array>>, Problem> {
        let outermost = self.renamed.get(outermost).map_or(outermost, String::as_str);
        let root = format!("{}{outermost}", self.root);
        let listed = || Ok(Rc::new(Listed::of(self.reader.weight_names(&root)?.unwrap_or_default())));
        let listed = once(&self.listed, outermost, listed)?;
        listed.of_layer(name).map(|path| self.reader.array(&root, path)).collect()
    }
}

/// The paths of weights that are stored for a layer with others inside, by the names of these.
struct Listed {
    paths: Vec<String>,
    exactly: Named<Vec<usize>>,
    /// By the ends of the names, after a slash.
    below: Named<Vec<usize>>,
}

impl Listed {
    /// How many slashes in a name may have another name behind them.
    const ENDS: usize = 16;

    fn of(paths: Vec<String>) -> Self {
        let (mut exactly, mut below) = (Named::default(), Named::default());
        for (path, at) in paths.iter().zip(0..) {
            // Keras 1 appends an underscore and the weight's own name.
            KERAS1.iter().filter_map(|weight| path.strip_suffix(weight)).for_each(|layer| exactly.push(layer, at));
            let Some((layers, _)) = path.rsplit_once('/') else { continue };
            exactly.push(layers, at);
            let ends = layers.rmatch_indices('/').take(Self::ENDS).filter_map(|(slash, _)| layers.get(slash + 1..));
            ends.for_each(|end| below.push(end, at));
        }
        Self { paths, exactly, below }
    }

    /// One name may be the end of another after a slash: "bn" and "conv1/bn".
    fn of_layer(&self, name: &str) -> impl Iterator<Item = &String> {
        let places = self.exactly.get(name).or_else(|| self.below.get(name));
        places.into_iter().flatten().filter_map(|&at| self.paths.get(at))
    }
}

/// What is known under a name, or is found now.
fn once<T>(known: &Known<T>, name: &str, find: impl FnOnce() -> Result<Rc<T>, Problem>) -> Result<Rc<T>, Problem> {
    if let Some(known) = known.borrow().get(name) {
        return known.clone();
    }
    let found = find();
    known.borrow_mut().insert(name.to_owned(), found.clone());
    found
}

/// Those of a group's arrays that are named 0, 1, ….
fn numbered(arrays: &Arrays) -> Result<Vec<Rc<Hdf5Array>>, Problem> {
    let find = |number: usize| {
        let name = number.to_string();
        let found = arrays.get(&name).cloned();
        found.ok_or_else(|| Problem::lacks("the file", format!("weight \"{name}\"")))
    };
    (0..arrays.all().len()).map(find).collect()
}

impl Source for ByName<'_> {
    fn arrays(&self, name: &str) -> Result<Vec<Array<'_>>, Problem> {
        let name = self.wrapper.as_deref().unwrap_or(name);
        let arrays = match &self.group {
            None => self.own(name)?,
            Some(outermost) => self.among(outermost, name)?,
        };
        arrays.into_iter().map(|array| Array::hdf5(array, &self.reader.room)).collect()
    }

    fn model(&self, name: &str, _: &[(&str, &str)]) -> Box<dyn Source + '_> {
        let outermost = self.group.as_deref().or(self.wrapper.as_deref()).unwrap_or(name);
        let (renamed, listed) = (self.renamed.clone(), self.listed.clone());
        Box::new(Self { group: Some(outermost.to_owned()), wrapper: None, renamed, listed, ..*self })
    }

    fn wrapped(&self, name: &str, _: &str) -> Box<dyn Source + '_> {
        let wrapper = self.wrapper.as_deref().unwrap_or(name).to_owned();
        let (group, renamed, listed) = (self.group.clone(), self.renamed.clone(), self.listed.clone());
        Box::new(Self { group, wrapper: Some(wrapper), renamed, listed, ..*self })
    }
}

/// See [`Reader::by_class`].
pub(crate) struct ByClass<'a> {
    reader: &'a Reader,
    /// The paths of the layers' groups by the layers' names, or why a layer has none.
    groups: Named<Result<String, Problem>>,
}

impl<'a> ByClass<'a> {
    /// The native format names a layer's group after its class, in the order of the model's layers: the first is
    /// `locally_connected2d`, the next `locally_connected2d_1`, …. Keras 2.12 and 2.13 visited some layers twice, so
    /// that their numbers have gaps; the order is the same. `root` is the path of the model's own group, with a
    /// trailing slash.
    fn new(reader: &'a Reader, root: &str, layers: &[(&str, &str)]) -> Self {
        let containers = CONTAINERS.map(|container| {
            let path = format!("{root}{container}");
            let members = reader.group(&path).and_then(|group| reader.groups(&path, &group)).unwrap_or_default();
            let names = members.all().iter().map(|(name, _)| name);
            (path, Numbered::of(names))
        });
        let mut of_class = Named::default();
        layers.iter().for_each(|(name, class)| of_class.push(class, *name));
        let mut groups = Named::default();
        for (class, names) in of_class.all() {
            let stem = snake_case(class);
            let found = containers.iter().find_map(|(path, members)| Some((path, members.by_stem.get(&stem)?)));
            let (count, expected) = (found.map_or(0, |(_, members)| members.len()), names.len());
            for (index, &name) in names.iter().enumerate() {
                // If the number of groups differs, it is unknown which belongs to which layer.
                let group = found.filter(|_| count == expected);
                let group = group.and_then(|(path, members)| Some(format!("{path}/{}", members.get(index)?.1)));
                let missing = || Problem::LayerCount { class: class.clone(), found: count, expected };
                groups.insert(name.to_owned(), group.ok_or_else(missing));
            }
        }
        Self { reader, groups }
    }

    fn group(&self, name: &str) -> Result<String, Problem> {
        self.groups.get(name).cloned().unwrap_or(Err(Problem::NoWeights))
    }
}

/// Groups by their names without the number at the end, in the order of the numbers.
struct Numbered {
    by_stem: Named<Vec<(u64, String)>>,
}

impl Numbered {
    /// A name may also be one that has a number itself, without one at the end, which counts as 0.
    fn of<'a>(names: impl Iterator<Item = &'a String>) -> Self {
        let mut by_stem = Named::default();
        for name in names {
            if let Some((stem, number)) = name.rsplit_once('_').and_then(|(stem, n)| Some((stem, n.parse().ok()?))) {
                by_stem.push(stem, (number, name.clone()));
            }
            by_stem.push(name, (0, name.clone()));
        }
        by_stem.all_mut().for_each(|names: &mut Vec<_>| names.sort_unstable());
        Self { by_stem }
    }
}

impl Source for ByClass<'_> {
    fn arrays(&self, name: &str) -> Result<Vec<Array<'_>>, Problem> {
        let path = format!("{}/vars", self.group(name)?);
        let group = self.reader.group(&path).map_err(|problem| problem.within(MISSING))?;
        let arrays = self.reader.arrays(&path, &group).and_then(|arrays| numbered(&arrays));
        let arrays = arrays.map_err(|problem| problem.within(&path))?;
        arrays.into_iter().map(|array| Array::hdf5(array, &self.reader.room)).collect()
    }

    fn model(&self, name: &str, layers: &[(&str, &str)]) -> Box<dyn Source + '_> {
        match self.group(name) {
            Ok(group) => Box::new(Self::new(self.reader, &format!("{group}/"), layers)),
            Err(_) => Box::new(Nothing),
        }
    }

    fn wrapped(&self, name: &str, layer: &str) -> Box<dyn Source + '_> {
        let group = self.group(name).map(|group| format!("{group}/layer"));
        Box::new(Self { reader: self.reader, groups: [(layer.to_owned(), group)].into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of groups that Keras 2.15 makes, taken from its files.
    #[test]
    fn snake_case_equals_keras() {
        for (class, snake) in [
            ("LocallyConnected1D", "locally_connected1d"),
            ("LocallyConnected2D", "locally_connected2d"),
            ("InputLayer", "input_layer"),
            ("Flatten", "flatten"),
            ("ReLU", "re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ELU", "elu"),
            ("ThresholdedReLU", "thresholded_re_lu"),
            ("SpatialDropout1D", "spatial_dropout1d"),
        ] {
            assert_eq!(snake_case(class), snake);
        }
    }
}
