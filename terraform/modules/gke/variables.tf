variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "project_number" {
  description = "The project's number: identities of the cluster are named by it."
  type        = string
}

variable "region" {
  description = "Where the cluster is."
  type        = string
}

variable "network" {
  description = "The network of nodes and pods."
  type        = string
}

variable "subnet" {
  description = "The subnet of nodes and pods, with secondary ranges that are called pods and services."
  type        = string
}

variable "node_account" {
  description = "The service account that nodes run as, by its e-mail."
  type        = string
}

variable "workloads" {
  description = "Kubernetes' service accounts that Google knows, by their names, with the namespace each is in. roles: in the whole project, which only an identity of a cluster that is there can be given."
  type        = map(object({ namespace = string, roles = optional(set(string), []) }))
}

variable "deletion_protection" {
  description = "Whether the cluster refuses to be destroyed."
  type        = bool
}

variable "release_channel" {
  description = "How soon the cluster takes new versions of Kubernetes."
  type        = string
  default     = "REGULAR"

  validation {
    condition     = contains(["RAPID", "REGULAR", "STABLE"], var.release_channel)
    error_message = "release_channel is RAPID, REGULAR or STABLE: Autopilot has no cluster without one."
  }
}

variable "maintenance" {
  description = "When Google may move pods to bring nodes up to date, in UTC, and on which days."
  type = object({
    start = optional(string, "02:00")
    end   = optional(string, "08:00")
    days  = optional(list(string), ["MO", "TU", "WE", "TH"])
  })
  default = {}

  validation {
    condition = alltrue([
      for time in [var.maintenance.start, var.maintenance.end] : can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]$", time))
    ])
    error_message = "maintenance.start and maintenance.end are times of a day in UTC, such as 02:00."
  }

  validation {
    condition = length(var.maintenance.days) > 0 && alltrue([
      for day in var.maintenance.days : contains(["MO", "TU", "WE", "TH", "FR", "SA", "SU"], day)
    ])
    error_message = "maintenance.days are MO, TU, WE, TH, FR, SA or SU, and at least one of them."
  }

  validation {
    # Google wants 48 hours of it in any 32 days.
    condition = can(timecmp("2026-01-01T${var.maintenance.start}:00Z", "2026-01-01T${var.maintenance.end}:00Z")) ? timecmp(
      timeadd("2026-01-01T${var.maintenance.start}:00Z", "${max(4, ceil(12 / max(length(var.maintenance.days), 1)))}h"), "2026-01-01T${var.maintenance.end}:00Z"
    ) <= 0 : true
    error_message = "The maintenance windows of a week must be 12 hours together, each of four hours or more."
  }
}
