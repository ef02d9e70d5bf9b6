output "images" {
  description = "What the names of the images begin with."
  value       = module.registry.url
}

output "cluster" {
  description = "The cluster's name."
  value       = module.gke.name
}

output "source_bucket" {
  description = "Where what is built by hand is put."
  value       = module.build.source_bucket
}
