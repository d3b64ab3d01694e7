// Package eventstore remembers: it is the contract of the log, the wire format of its records, and nothing that acts.
//
// Order and durability: the records of one partition have one order, which every reader sees; an append whose done
// function got no error is in that order for ever and survives what the store says it survives. Nothing orders records of
// different partitions.
//
// Implementations are memory (the reference), kafka (the only importer of Sarama and Watermill), and embedded, which
// runs a broker inside the process for kafka to speak to. All of them pass storetest.Exercise.
package eventstore
