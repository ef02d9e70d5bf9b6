variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "accounts" {
  description = "What each account is for, by its name."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.accounts) : can(regex("^imagen-[a-z0-9-]{1,22}[a-z0-9]$", name))])
    error_message = "An account is named imagen- and what runs as it, 30 characters at most: imagen-web."
  }
}

variable "access" {
  description = "Who may act as an account, or sign with it: members by their names, by roles, by accounts."
  type        = map(map(map(string)))
  default     = {}
}
