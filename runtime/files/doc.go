// Package files holds the read-only files of functions: a directory that is deployed beside a module.
//
// The files of a function are one Tree. Its archive is a tar archive of a single form: entries sorted by name, no times, no
// owners, no modes but one for files and one for directories. So the same directory is the same bytes on any machine, and
// their SHA-256, under which the archive is kept beside the modules, names what a function sees. Whatever else comes in (a tar
// archive made by tar, a zip archive of FunctionGraph's) is read into a Tree, and the Tree's own archive is stored.
//
// Archives are not trusted. Nothing of one is ever written to a disk; names are checked all the same, and everything is
// counted before it is held. A tree lies in memory, its files being parts of the archive: nothing in it can lead out of it.
package files
