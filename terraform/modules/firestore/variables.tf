variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "region" {
  description = "Where the documents are: where the workers are."
  type        = string
}

variable "name" {
  description = "The database: FIRESTORE_DATABASE."
  type        = string
  default     = "(default)"
}

variable "collections" {
  description = "The collections of jobs/state_store/firestore_documents.py."
  type        = set(string)
  default     = ["jobs", "owners"]

  validation {
    condition     = contains(var.collections, "jobs")
    error_message = "The state of jobs is in the collection jobs, whose documents expire."
  }
}

variable "point_in_time_recovery" {
  description = "Whether any moment of the last week can be had back; stored versions are paid for."
  type        = bool
  default     = false
}

variable "backup_days" {
  description = "How long a daily backup is kept; 0 makes none. A job's state is of no use after its retention."
  type        = number
  default     = 0

  validation {
    condition     = var.backup_days >= 0 && var.backup_days <= 98
    error_message = "Between 0, for none, and 98 days, the most that Firestore keeps a backup for."
  }
}

variable "deletion_protection" {
  description = "Whether the database refuses to be deleted."
  type        = bool
  default     = true
}

variable "access" {
  description = "Who may do what: members by their names, by roles."
  type        = map(map(string))
  default     = {}
}
