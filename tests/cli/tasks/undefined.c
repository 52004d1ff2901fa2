/* SPDX-License-Identifier: MIT
 *
 * Cannot be loaded: nobody has this function.
 */
extern int missing_function(void);
int main(void) { return missing_function(); }
