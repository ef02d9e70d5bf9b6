variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "region" {
  description = "Where the subnets are."
  type        = string
}

variable "ranges" {
  description = "The addresses of nodes, pods, services of Kubernetes, Cloud Run's instances and Google's private services."
  type = object({
    nodes            = optional(string, "10.10.0.0/22")
    pods             = optional(string, "10.20.0.0/17")
    services         = optional(string, "10.30.0.0/22")
    run              = optional(string, "10.10.8.0/24")
    private_services = optional(string, "10.40.0.0/20")
  })
  default = {}

  validation {
    condition     = alltrue([for range in values(var.ranges) : can(cidrhost(range, 0)) && cidrhost(range, 0) == split("/", range)[0]])
    error_message = "Each of ranges is a block of addresses that begins at its first one, such as 10.10.0.0/22."
  }

  validation {
    condition     = can(cidrhost(var.ranges.run, 0)) && tonumber(split("/", var.ranges.run)[1]) <= 26
    error_message = "ranges.run must be a /26 or larger: Cloud Run takes several addresses for each instance."
  }
}

variable "node_account" {
  description = "The service account of the cluster's nodes, by its e-mail."
  type        = string
}

variable "internet" {
  description = "Whether the cluster can reach the internet. Needed while models-fetch fills the model bucket."
  type        = bool
  default     = true
}
